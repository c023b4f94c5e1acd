"""What a build of TensorRT calls back: its progress, and the stream that it writes the engine to.

No exception may cross the builder's C++ frames: each is kept, stops the build, and is raised after it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, BinaryIO

from mixdq.compiler.worker import Report


class Stop:
    """Why a build is to stop; nothing while it may go on.

    Attributes:
        reason: the first error that was kept.
    """

    def __init__(self) -> None:
        self.reason: BaseException | None = None

    def keep(self, reason: BaseException) -> None:
        """Stops the build, for this reason unless there is one already."""
        self.reason = self.reason or reason

    def check(self) -> None:
        """Leaves the block of `stoppable`, which raises the reason, if there is one."""
        if self.reason is not None:
            raise _Stopped


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Collects Ctrl-C instead of raising it, and raises after the block what stopped it.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Exception: what a call back raised.
    """
    stop = Stop()

    def note(number: int, frame: FrameType | None) -> None:
        stop.keep(KeyboardInterrupt())

    before = signal.signal(signal.SIGINT, note)
    try:
        yield stop
    except _Stopped:
        assert stop.reason is not None
        raise stop.reason from None
    finally:
        signal.signal(signal.SIGINT, before)


def monitor(trt: Any, report: Report, stop: Stop) -> Any:
    """Reports the phases of a build; a step answers False, which cancels it, once it is to stop."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._steps[phase] = steps
            self._report(phase, 0)

        def step_complete(self, phase: str, step: int) -> bool:
            self._report(phase, step + 1)
            return stop.reason is None

        def phase_finish(self, phase: str) -> None:
            self._steps.pop(phase, None)

        def _report(self, phase: str, done: int) -> None:
            try:
                report(_said(phase), done, self._steps[phase])
            except BaseException as error:  # noqa: BLE001 (raised again after the build)
                stop.keep(error)

    return Monitor()


def engine_writer(trt: Any, file: BinaryIO, stop: Stop) -> Any:
    """A stream into a file; an error of the file (`error`) or a reason to stop ends the build."""

    class Writer(trt.IStreamWriter):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IStreamWriter.__init__(self)
            self.error: OSError | None = None

        def write(self, data: bytes) -> int:
            if stop.reason is not None:
                return -1
            try:
                return file.write(data)
            except OSError as error:
                self.error = error
                return -1

    return Writer()


class _Stopped(Exception):  # noqa: N818 (it never leaves this file)
    """Leaves the block of `stoppable`: no reason is taken there for the block's own error."""


def _said(phase: str) -> str:
    # Named after its last part, this phase is the compilation of the whole network.
    return "Compiling the network" if phase == "Determining refit engines" else phase
