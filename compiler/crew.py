"""Brings stages up to date, several side by side, each in its child process."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

from mixdq.compiler.records import StageRecord, key_of, sweep
from mixdq.compiler.room import IDLE_TORCH_MIB, check_disk, check_memory, memory_for_stages
from mixdq.compiler.stages import Hashed, Lane, Outcome, Stage, Watch, make
from mixdq.compiler.worker import Call, Finished, Progress, Worker
from mixdq.configs.errors import MachineError


def execute(stages: Sequence[Stage], *, jobs: int, watch: Watch, memory_mib: float | None = None) -> Outcome:
    """Does every stage that is not up to date, up to `jobs` at once, earlier ones first.

    Before the first of them begins, memory and disk must be enough for all that were not found up to date.
    Some of those may turn out to be so later, if what comes before them is made again as it was: then the
    check has asked for more than is needed, which is better than an hour's work that can't be finished.

    Args:
        stages: in an order in which none comes before what it needs.
        jobs: child processes at work at once; fewer, where their expected peaks exceed the memory together.
        watch: told how it goes.
        memory_mib: the memory for all child processes; None for what the machine has.

    Raises:
        MachineError: a stage needs more memory than there is; nothing was begun.
        StorageError: the stages will write more than the disk has space for; nothing was begun.
        MixdqError: of the first stage that failed. Those beside it are stopped; what was done before stays
            recorded, and the next `execute` goes on from there.
    """
    memory_mib = memory_for_stages() if memory_mib is None else memory_mib
    with _Crew(stages, jobs, memory_mib, watch) as crew:
        while crew.pending or crew.running:
            crew.start_ready()
            if crew.running:
                crew.receive()
    results = {stage.name: crew.results[stage.name] for stage in stages}
    return Outcome(results, tuple(crew.intervals), _peak_side_by_side(crew.intervals))


@dataclass(frozen=True, slots=True)
class _Interval:
    start: float
    end: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class _Running:
    stage: Stage
    key: str
    worker: Worker
    start: float


class _Crew:
    """The stages that wait, run and are done; at its end no child process is left, nor a half-made file."""

    def __init__(self, stages: Sequence[Stage], jobs: int, memory_mib: float, watch: Watch) -> None:
        self.pending = {stage.name: stage for stage in stages}
        self.running: dict[Connection, _Running] = {}
        self.results: dict[str, StageRecord] = {}
        self.intervals: dict[str, _Interval] = {}
        self._keys: dict[str, str] = {}  # of the pending stages that have to be made and can be
        self._begun = False
        self._jobs = jobs
        self._memory_mib = memory_mib
        self._watch = watch
        self._idle_torch: list[Worker] = []

    def __enter__(self) -> Self:
        for book in dict.fromkeys(stage.book for stage in self.pending.values()):
            book.look_ahead([stage.name for stage in self.pending.values() if stage.book is book])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        workers = [running.worker for running in self.running.values()] + self._idle_torch
        for worker in workers:
            worker.interrupt()
        for worker in workers:
            worker.stop()
        for running in self.running.values():
            sweep(running.stage.book.root)

    def start_ready(self) -> None:
        """Finds what is up to date; then begins what is not, as far as there is room."""
        while self._settle_one() or self._begin_one():
            pass
        assert self.running or not self.pending, f"stages need what nothing makes: {list(self.pending)}"

    def receive(self) -> None:
        """Waits for the children and takes a message of each that has one."""
        for connection in wait(list(self.running)):
            assert isinstance(connection, Connection)
            running = self.running[connection]
            try:
                message = running.worker.receive()
            except MachineError as error:
                raise MachineError(f"{running.stage.name}: {error}") from error
            if isinstance(message, Progress):
                self._watch.progressed(running.stage.name, message)
            else:
                self._finish(connection, message)

    def _settle_one(self) -> bool:
        """Finds out of one more stage, if its needs are met, whether it has to be made."""
        met = (
            s for s in self.pending.values() if s.name not in self._keys and set(s.needs) <= set(self.results)
        )
        stage = next(met, None)
        if stage is None:
            return False
        key = key_of(stage.name, stage.facts(self.results))
        record = stage.book.find(stage.name, key)
        if record is None:
            self._keys[stage.name] = key
        else:
            self.results[stage.name] = record
            del self.pending[stage.name]
        return True

    def _begin_one(self) -> bool:
        """Begins one more stage, if there is room for one."""
        ready = (s for s in self.pending.values() if s.name in self._keys and self._has_room(s))
        stage = next(ready, None)
        if stage is None:
            return False
        if not self._begun:
            self._prepare()
        del self.pending[stage.name]
        stage.book.begin()
        begin = self._do_here if stage.lane is Lane.HERE else self._start
        begin(stage, self._keys.pop(stage.name))
        return True

    def _prepare(self) -> None:
        """Called once, before the first stage begins."""
        check_memory(self.pending.values(), self._memory_mib)
        check_disk(self.pending.values())
        self._begun = True

    def _has_room(self, stage: Stage) -> bool:
        """Alone, a stage always has: it was admitted before the first one began."""
        if stage.lane is Lane.HERE or not self.running:
            return True
        return len(self.running) < self._jobs and self._expected_mib(stage) <= self._memory_mib

    def _expected_mib(self, *more: Stage) -> float:
        return sum(stage.memory_mib for stage in (*(run.stage for run in self.running.values()), *more))

    def _start(self, stage: Stage, key: str) -> None:
        worker = self._worker_for(stage)
        self.running[worker.connection] = _Running(stage, key, worker, time.monotonic())
        self._watch.started(stage.name)
        self._stop_idle()
        worker.submit(Call(make, (stage.book.root, stage.call(self.results))))

    def _worker_for(self, stage: Stage) -> Worker:
        if stage.lane is Lane.TORCH and self._idle_torch:
            return self._idle_torch.pop()
        return Worker()

    def _stop_idle(self) -> None:
        """Stops idle processes that no stage will use, or whose memory those at work need."""
        wanted = any(stage.lane is Lane.TORCH for stage in self.pending.values())
        spare = int((self._memory_mib - self._expected_mib()) // IDLE_TORCH_MIB)
        while len(self._idle_torch) > (max(0, spare) if wanted else 0):
            self._idle_torch.pop().stop()

    def _do_here(self, stage: Stage, key: str) -> None:
        self._watch.started(stage.name)
        start = time.monotonic()
        made = make(_ignore, stage.book.root, stage.call(self.results))
        self._record(stage, key, made, start, None)

    def _finish(self, connection: Connection, message: Finished[Any]) -> None:
        running = self.running.pop(connection)
        stage = running.stage
        self._record(stage, running.key, message.value, running.start, message.peak_mib)
        if stage.lane is Lane.TORCH:
            self._idle_torch.append(running.worker)
            self._stop_idle()
        else:
            running.worker.stop()

    def _record(self, stage: Stage, key: str, made: Hashed, start: float, peak_mib: float | None) -> None:
        end = time.monotonic()
        self.intervals[stage.name] = _Interval(start, end, peak_mib or 0.0)
        record = StageRecord(stage.name, key, made.files, made.value, round(end - start, 2), peak_mib)
        stage.book.add(record)
        self.results[stage.name] = record
        self._watch.finished(record)


def _peak_side_by_side(intervals: Mapping[str, _Interval]) -> float:
    return max(
        (
            sum(other.peak_mib for other in intervals.values() if other.start <= one.start < other.end)
            for one in intervals.values()
        ),
        default=0.0,
    )


def _ignore(phase: str, done: int, total: int | None) -> None:
    """A stage of the main process is too short to report."""
