"""How much memory a server's processes hold while it is under load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psutil
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT
from mixdq.configs.errors import EvaluationError

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, config=STRICT)
class MemorySample:
    """Memory at one time.

    Attributes:
        at_s: on the clock of the run.
        mib: resident in all processes together; what they share counts several times.
    """

    at_s: float
    mib: float


class MemoryWatch:
    """Samples a process and its children, if there is one to watch.

    Attributes:
        samples: so far.
    """

    def __init__(self, pid: int | None, interval_s: float, now: Callable[[], float]) -> None:
        """Finds the process.

        Args:
            pid: the server's; None to watch nothing.
            interval_s: between two samples.
            now: the clock of the run.

        Raises:
            EvaluationError: there is no such process.
        """
        self.samples: list[MemorySample] = []
        self._interval_s = interval_s
        self._now = now
        try:
            self._process = None if pid is None else psutil.Process(pid)
        except psutil.NoSuchProcess as error:
            raise EvaluationError(
                f"there is no process {pid} on this machine; give the server's process id, or leave --pid out"
            ) from error

    def sample(self) -> None:
        """Takes one sample; none of a process that is gone."""
        if self._process is None:
            return
        try:
            processes = [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        self.samples.append(MemorySample(self._now(), sum(map(_resident_mib, processes))))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Samples until the block ends, once more then."""
        task = asyncio.create_task(self._repeat())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.sample()

    async def _repeat(self) -> None:
        while self._process is not None:
            # Looking for children reads all of /proc: not in the loop, which has requests to send.
            await asyncio.to_thread(self.sample)
            await asyncio.sleep(self._interval_s)


def _resident_mib(process: psutil.Process) -> float:
    try:
        return process.memory_info().rss / _MIB
    except psutil.NoSuchProcess:
        return 0.0
