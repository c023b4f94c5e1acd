"""What NVIDIA's driver says of a GPU's memory and clock rate, watched while something runs."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median
from types import TracebackType
from typing import Any, Self

_MIB = 1 << 20
_MEMORY_S, _CLOCK_S = 0.005, 0.05


@dataclass(frozen=True, slots=True)
class GpuPeak:
    """MiB in use on a GPU.

    Attributes:
        process: most that this process held; None where the driver does not tell (in containers it knows
            processes by the host's numbers).
        before: of the whole GPU, by others as well, when the watch began.
        peak: most of the whole GPU.
        after: of the whole GPU when the watch ended.
    """

    process: float | None
    before: float
    peak: float
    after: float


class _Watch(ABC):
    """Asks the driver again and again from a thread of its own; a context manager."""

    def __init__(self, interval_s: float) -> None:
        """Finds the GPU that CUDA calls the first.

        Raises:
            ModuleNotFoundError: NVML's bindings (`pynvml`, of the extra `eval`) are not installed.
        """
        self._nvml, self._handle = _open()
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self._handle is not None:
            self._begin()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._stop.set()
            self._thread.join()
            self._end()

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._look()

    def _begin(self) -> None:
        """What is done before the thread begins."""
        self._look()

    @abstractmethod
    def _look(self) -> None:
        """Asks once."""

    def _end(self) -> None:
        """What is done when it has ended."""
        self._look()


class ClockWatch(_Watch):
    """The clock rate of the GPU's multiprocessors."""

    def __init__(self) -> None:
        """See `_Watch`."""
        super().__init__(_CLOCK_S)
        self._seen: list[int] = []

    @property
    def sm_mhz(self) -> int | None:
        """The median of what was seen, in MHz, once the watch has ended; None where nobody can be asked."""
        return round(median(self._seen)) if self._seen else None

    def _look(self) -> None:
        with suppress(self._nvml.NVMLError):  # a part of a GPU, or one that is shared, may not tell
            rate = self._nvml.nvmlDeviceGetClockInfo(self._handle, self._nvml.NVML_CLOCK_SM)
            self._seen.append(int(rate))


class GpuWatch(_Watch):
    """The GPU's memory."""

    def __init__(self) -> None:
        """See `_Watch`."""
        super().__init__(_MEMORY_S)
        self._process: float | None = None
        self._before = self._peak = self._after = 0.0

    @property
    def peak(self) -> GpuPeak | None:
        """What was seen, once the watch has ended; None where nobody can be asked."""
        if self._handle is None:
            return None
        return GpuPeak(self._process, self._before, self._peak, self._after)

    def _begin(self) -> None:
        self._before = self._peak = self._used()

    def _end(self) -> None:
        self._look()
        self._after = self._used()

    def _look(self) -> None:
        self._peak = max(self._peak, self._used())
        for entry in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle):
            if entry.pid == os.getpid() and entry.usedGpuMemory is not None:
                self._process = max(self._process or 0.0, entry.usedGpuMemory / _MIB)

    def _used(self) -> float:
        return float(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used) / _MIB


def clock_watch(device: str) -> AbstractContextManager[ClockWatch | None]:
    """A watch of the GPU's clock rate, where `device` is `cuda` and NVML's bindings are there; else none."""
    return ClockWatch() if device == "cuda" and find_spec("pynvml") else nullcontext()


def memory_watch(device: str) -> AbstractContextManager[GpuWatch | None]:
    """Likewise of its memory."""
    return GpuWatch() if device == "cuda" else nullcontext()


def _open() -> tuple[Any, Any]:
    """NVML and the handle of CUDA's first GPU; no handle without a driver or a GPU."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml, _first_visible(pynvml)
    except pynvml.NVMLError:
        return pynvml, None


def _first_visible(nvml: Any) -> Any:
    """CUDA's first GPU: the first of `CUDA_VISIBLE_DEVICES`, by number or by the beginning of its UUID."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
    if first.isdigit():
        return nvml.nvmlDeviceGetHandleByIndex(int(first))
    return nvml.nvmlDeviceGetHandleByUUID(first)
