"""The peak memory of this process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def peak_mib() -> float:
    """The largest resident set of this process in MiB, since its start or the last `reset_peak`.

    On Linux from `/proc`: `ru_maxrss` there counts the parent's memory at the fork as the child's own.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    units_per_mib = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units_per_mib


def reset_peak() -> None:
    """Starts a new measurement; where the system does not allow it, the peak stays that of the process."""
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return
