"""What NVIDIA's driver says of a GPU's memory, watched while something runs."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

_MIB = 1 << 20
_INTERVAL_S = 0.005


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


class GpuWatch:
    """Asks the driver a few hundred times a second from a thread of its own; a context manager."""

    def __init__(self) -> None:
        """Finds the GPU that CUDA calls the first.

        Raises:
            ModuleNotFoundError: NVML's bindings (`pynvml`, of the extra `eval`) are not installed.
        """
        self._nvml, self._handle = _open()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._process: float | None = None
        self._before = self._peak = self._after = 0.0

    @property
    def peak(self) -> GpuPeak | None:
        """What was seen, once the watch has ended; None where nobody can be asked."""
        if self._handle is None:
            return None
        return GpuPeak(self._process, self._before, self._peak, self._after)

    def __enter__(self) -> Self:
        if self._handle is not None:
            self._before = self._peak = self._used()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._stop.set()
            self._thread.join()
            self._look()
            self._after = self._used()

    def _watch(self) -> None:
        while not self._stop.wait(_INTERVAL_S):
            self._look()

    def _look(self) -> None:
        self._peak = max(self._peak, self._used())
        for entry in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle):
            if entry.pid == os.getpid() and entry.usedGpuMemory is not None:
                self._process = max(self._process or 0.0, entry.usedGpuMemory / _MIB)

    def _used(self) -> float:
        return float(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used) / _MIB


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
