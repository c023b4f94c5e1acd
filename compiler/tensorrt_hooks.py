"""What a build of TensorRT calls back: its log, its progress, the stream that it writes the engine to."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, BinaryIO

from mixdq.compiler.worker import Report


def error_log(trt: Any) -> Any:
    """A logger that keeps the errors for the exception (`errors`) and prints nothing."""

    class ErrorLog(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return ErrorLog()


def monitor(trt: Any, report: Report, interrupted: list[int]) -> Any:
    """Reports the phases of a build; a step answers False, which cancels it, once a signal arrived."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._steps[phase] = steps
            report(_said(phase), 0, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            report(_said(phase), step + 1, self._steps[phase])
            return not interrupted

        def phase_finish(self, phase: str) -> None:
            self._steps.pop(phase, None)

    return Monitor()


def engine_writer(trt: Any, file: BinaryIO, interrupted: list[int]) -> Any:
    """A stream into a file; an error of the file (`error`) or a signal stops the build."""

    class Writer(trt.IStreamWriter):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IStreamWriter.__init__(self)
            self.error: OSError | None = None

        def write(self, data: bytes) -> int:
            if interrupted:
                return -1
            try:
                return file.write(data)
            except OSError as error:  # must not cross the builder's C++ frames
                self.error = error
                return -1

    return Writer()


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Collects Ctrl-C instead of raising it: an exception must not cross the builder's C++ frames."""
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield arrived
    finally:
        signal.signal(signal.SIGINT, before)


def _said(phase: str) -> str:
    # Named after its last part, this phase is the compilation of the whole network.
    return "Compiling the network" if phase == "Determining refit engines" else phase
