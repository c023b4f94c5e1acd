"""A UNet of made-up weights at its full size, on a GPU, in several ways within one run.

Speed and memory depend on shapes, not on what the weights hold, so that no weights have to be fetched. Every
case is compiled in a process of its own, many at once, and waits; what is recorded as it is follows, when
compilers hold none of the GPU's memory any more; then each is timed alone, one after another. What is called
follows, made ready when its turn comes, and what failed once more, as when it found that memory full.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from threading import Event
from typing import TextIO

from mixdq.configs.errors import EvaluationError
from mixdq.eval.speed.kernel_kinds import Launch
from mixdq.eval.speed.nvml import GpuWatch
from mixdq.eval.speed.unet_trial_choices import AS_IT_IS, LATE, Case

_CHILD = "mixdq.eval.speed.unet_trial_case"


@dataclass(frozen=True, slots=True)
class TrialOrder:
    """What to time.

    Attributes:
        cases: in the order in which they begin to compile.
        model: whose architecture it is.
        device: `cuda`; `cpu` to try the program.
        patience_s: seconds for what compiles, as many for what is recorded as it is, and for each that is
            made ready by itself.
        at_once: how many cases compile at the same time.
    """

    cases: tuple[Case, ...]
    model: str
    device: str
    patience_s: float
    at_once: int


@dataclass(frozen=True, slots=True)
class CaseFigures:
    """What was found of one case.

    Attributes:
        case: which.
        figures: by column; empty where it was not measured.
        launches: the kernels of one run, in order.
        missing: why there are no figures; empty where there are.
    """

    case: Case
    figures: dict[str, object] = field(default_factory=dict)
    launches: tuple[Launch, ...] = ()
    missing: str = ""


def run_trial(order: TrialOrder, log: TextIO, watch: Callable[[str], None]) -> Iterator[CaseFigures]:
    """Yields each case's figures as they are found.

    Args:
        order: what to time.
        log: takes what the processes say of themselves.
        watch: told what is going on.

    Raises:
        EvaluationError: the layers and ranges of the model could not be found out.
    """
    with TemporaryDirectory() as folder:
        watch("measuring ranges")
        sizes = dict.fromkeys(str(case.resolution) for case in order.cases)
        words = [sys.executable, "-m", _CHILD, "prepare", order.model, order.device, folder, *sizes]
        if subprocess.run(words, stdout=log, stderr=log, check=False).returncode != 0:
            raise EvaluationError(
                f"the UNet of {order.model} could not be run on {order.device}; {log.name} says why"
            )
        children = [_Child(case, order, folder, log) for case in order.cases]
        try:
            yield from _measure(children, order, watch)
        finally:
            for child in children:
                child.close()


class _Child:
    """The process of one case."""

    def __init__(self, case: Case, order: TrialOrder, folder: str, log: TextIO) -> None:
        self.case, self._order = case, order
        self._words = [sys.executable, "-m", _CHILD, "case", order.model, order.device, folder, str(case)]
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._ready = self._killed = False

    def start(self, threads: int, late: Event) -> None:
        """Starts it, again if it had ended, unless it is late; returns once it is ready, or has ended."""
        if late.is_set():
            return
        self.close()
        self._ready = self._killed = False
        self._process = subprocess.Popen(
            self._words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={"TORCHINDUCTOR_COMPILE_THREADS": str(threads), **os.environ},
        )
        if late.is_set():
            self.kill()
        self._ready = self._read("ready") is not None
        if not self._ready:
            self._process.wait()

    def measure(self) -> CaseFigures:
        """Has it timed alone, and ends it; the GPU's memory is told before and after."""
        self._go()
        figures = self._read("figures")
        if figures is None:
            return CaseFigures(self.case, missing="failed while it ran; the log says why")
        launches = (self._read("launches") or {}).get("launches", [])
        driver = self._memory_returned()
        assert isinstance(figures["figures"], dict)
        assert isinstance(launches, list)
        return CaseFigures(
            self.case, {**figures["figures"], "driver_mib": driver}, tuple(Launch(*one) for one in launches)
        )

    def kill(self) -> None:
        """Ends it, if it runs; who reads from it reads what it said until now."""
        if self._process is not None and self._process.poll() is None:
            self._killed = True
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Ends it and forgets its pipes; nobody may read from it any more."""
        self.kill()
        process = self._process
        for pipe in () if process is None else (process.stdin, process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    @property
    def ready(self) -> bool:
        """Whether it waits to be timed."""
        return self._ready and not self._killed

    @property
    def failed(self) -> bool:
        """Whether it ended by itself before it was ready."""
        ended = self._process is not None and self._process.poll() is not None
        return ended and not self._ready and not self._killed

    @property
    def reason(self) -> str:
        """Why it is not ready, once it has ended."""
        if self.failed:
            return "failed while it was made ready; the log says why"
        return f"not compiled within {self._order.patience_s:.0f} s"

    def _memory_returned(self) -> float | None:
        """MiB that the driver has more once the process has ended: all that it held, the context included."""
        try:
            with GpuWatch() as gpu:
                self._go()
                assert self._process is not None
                self._process.wait()
        except ModuleNotFoundError:
            return None
        return None if gpu.peak is None else round(gpu.peak.before - gpu.peak.after, 1)

    def _go(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return

    def _read(self, key: str) -> dict[str, object] | None:
        """The next line in JSON that holds a key; None if it ends before."""
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, object] = json.loads(line)
                if key in found:
                    return found
        return None


def _measure(
    children: Sequence[_Child], order: TrialOrder, watch: Callable[[str], None]
) -> Iterator[CaseFigures]:
    late = [child for child in children if child.case.way in LATE]
    as_it_is = [child for child in children if child.case.way in AS_IT_IS]
    compiled = [child for child in children if child.case.way not in (*AS_IT_IS, *LATE)]
    for wave in filter(None, (compiled, as_it_is)):
        _make_ready(wave, order, watch)
    early = [*compiled, *as_it_is]
    waiting = [child for child in early if not child.failed]
    alone = [*late, *(child for child in early if child.failed)]
    for child in (*waiting, *alone):
        if child in alone:
            _make_ready([child], order, watch)
        watch(f"timing {child.case}")
        yield child.measure() if child.ready else CaseFigures(child.case, missing=child.reason)


def _make_ready(children: Sequence[_Child], order: TrialOrder, watch: Callable[[str], None]) -> None:
    """Makes cases ready side by side, or as many as there is time for."""
    until = time.monotonic() + order.patience_s
    late = Event()
    threads = max(2, 4 * (os.cpu_count() or 1) // min(order.at_once, len(children)))

    with ThreadPoolExecutor(order.at_once) as pool:
        tasks = [pool.submit(child.start, threads, late) for child in children]
        try:
            while time.monotonic() < until:
                watch(f"made ready: {sum(child.ready for child in children)} of {len(children)}")
                left = until - time.monotonic()
                if not wait(tasks, timeout=min(5.0, max(0.0, left))).not_done:
                    break
        finally:  # after Ctrl-C, too, none begins any more
            late.set()
            for child in children:
                if not child.ready:
                    child.kill()
    for task in tasks:
        task.result()
