"""Brings stages up to date, several side by side, each in its child process."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

from mixdq.compiler.records import StageRecord, key_of, sweep
from mixdq.compiler.stages import Lane, Made, Outcome, Stage, Watch
from mixdq.compiler.worker import Finished, Progress, Worker


def execute(stages: Sequence[Stage], *, jobs: int, watch: Watch) -> Outcome:
    """Does every stage that is not up to date, up to `jobs` at once, earlier ones first.

    Args:
        stages: in an order in which none comes before what it needs.
        jobs: child processes at work at once.
        watch: told how it goes.

    Raises:
        MixdqError: of the first stage that failed. Those beside it are stopped; what was done before stays
            recorded, and the next `execute` goes on from there.
    """
    with _Crew(stages, jobs, watch) as crew:
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

    def __init__(self, stages: Sequence[Stage], jobs: int, watch: Watch) -> None:
        self.pending = {stage.name: stage for stage in stages}
        self.running: dict[Connection, _Running] = {}
        self.results: dict[str, StageRecord] = {}
        self.intervals: dict[str, _Interval] = {}
        self._jobs = jobs
        self._watch = watch
        self._idle_torch: list[Worker] = []

    def __enter__(self) -> Self:
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
        """Begins, or finds up to date, every stage whose needs are met, as far as there are places."""
        while any(self._try(stage) for stage in list(self.pending.values())):
            pass
        assert self.running or not self.pending, f"stages need what nothing makes: {list(self.pending)}"

    def receive(self) -> None:
        """Waits for the children and takes a message of each that has one."""
        for connection in wait(list(self.running)):
            assert isinstance(connection, Connection)
            running = self.running[connection]
            message = running.worker.receive()
            if isinstance(message, Progress):
                self._watch.progressed(running.stage.name, message)
            else:
                self._finish(connection, message)

    def _try(self, stage: Stage) -> bool:
        """Whether the stage left the pending ones."""
        if not set(stage.needs) <= set(self.results) or not self._has_place(stage):
            return False
        key = key_of(stage.name, stage.facts(self.results))
        record = stage.book.find(stage.name, key)
        if record is not None:
            self.results[stage.name] = record
        elif stage.lane is Lane.HERE:
            self._do_here(stage, key)
        else:
            self._start(stage, key)
        del self.pending[stage.name]
        return True

    def _has_place(self, stage: Stage) -> bool:
        return stage.lane is Lane.HERE or len(self.running) < self._jobs

    def _start(self, stage: Stage, key: str) -> None:
        stage.book.begin()
        worker = self._worker_for(stage)
        self.running[worker.connection] = _Running(stage, key, worker, time.monotonic())
        self._watch.started(stage.name)
        worker.submit(stage.call(self.results))

    def _worker_for(self, stage: Stage) -> Worker:
        if stage.lane is Lane.TORCH and self._idle_torch:
            return self._idle_torch.pop()
        return Worker()

    def _do_here(self, stage: Stage, key: str) -> None:
        stage.book.begin()
        self._watch.started(stage.name)
        start = time.monotonic()
        call = stage.call(self.results)
        made = call.function(_ignore, *call.arguments)
        self._record(stage, key, made, start, None)

    def _finish(self, connection: Connection, message: Finished[Any]) -> None:
        running = self.running.pop(connection)
        stage = running.stage
        self._record(stage, running.key, message.value, running.start, message.peak_mib)
        if stage.lane is not Lane.TORCH:
            running.worker.stop()
            return
        self._idle_torch.append(running.worker)
        if all(other.lane is not Lane.TORCH for other in self.pending.values()):
            while self._idle_torch:
                self._idle_torch.pop().stop()

    def _record(self, stage: Stage, key: str, made: Made, start: float, peak_mib: float | None) -> None:
        end = time.monotonic()
        self.intervals[stage.name] = _Interval(start, end, peak_mib or 0.0)
        record = StageRecord(
            stage.name, key, stage.book.stamp(made.files), made.value, round(end - start, 2), peak_mib
        )
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
