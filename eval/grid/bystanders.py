"""How busy other processes keep the processors while times are measured."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_BUSY = (0, 1, 2, 5, 6, 7)
"""Of the columns of `/proc/stat`: user, nice, system, irq, softirq, and steal, which other machines took."""


@dataclass(frozen=True, slots=True)
class Processors:
    """The processors' counters at a time, in seconds.

    Attributes:
        at_s: of the monotonic clock.
        busy_s: that all processors together have worked since the system began.
        own_s: that this process and those of its children that ended have taken of it.
    """

    at_s: float
    busy_s: float
    own_s: float

    @classmethod
    def now(cls) -> Processors | None:
        """The counters now; None on a system without `/proc/stat`."""
        if not _STAT.is_file():
            return None
        own = os.times()
        taken = own.user + own.system + own.children_user + own.children_system
        return cls(time.monotonic(), busy_seconds(_STAT.read_text(), os.sysconf("SC_CLK_TCK")), taken)


def busy_seconds(stat: str, ticks_per_s: int) -> float:
    """Seconds that all processors together have worked, from the text of `/proc/stat`."""
    columns = stat.splitlines()[0].split()[1:]
    return sum(int(columns[place]) for place in _BUSY) / ticks_per_s


def others_between(before: Processors | None, after: Processors | None) -> float | None:
    """How many processors other processes kept busy, on average: 0 to all; None if nobody counted."""
    if before is None or after is None or after.at_s <= before.at_s:
        return None
    others = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return round(max(0.0, others) / (after.at_s - before.at_s), 3)
