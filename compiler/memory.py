"""Memory: the peak of this process, and what the machine has left."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MIB = 1 << 20
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


def give_back() -> None:
    """Returns freed memory to the system, which the C library otherwise keeps for its next allocations."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc alone has it
        trim(0)


def reset_peak() -> None:
    """Starts a new measurement; where the system does not allow it, the peak stays that of the process."""
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return


def available_mib(root: Path = Path("/")) -> float:
    """The memory in MiB that this process and its children can still take without swapping.

    On Linux the least of what the machine has, of what each control group around this process leaves
    (containers, batch systems), and of what this process's own limits leave (`ulimit -v`, `ulimit -d`); a
    file's cached pages count as free. Elsewhere the machine's whole memory.

    Args:
        root: the folder that `proc` and `sys` are in.
    """
    meminfo = root / "proc/meminfo"
    if not meminfo.exists():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _MIB
    machine = _fields(meminfo)["MemAvailable"] * 1024
    return max(0, min([machine, *_left_in_groups(root), *_left_by_limits(root)])) / _MIB


@dataclass(frozen=True, slots=True)
class _Hierarchy:
    """Where a version of control groups keeps its figures."""

    folder: str
    limit: str
    usage: str
    cached: tuple[str, str]


_LIMITS = {"Max address space": "VmSize", "Max data size": "VmData"}
"""Limits of a process by their names in `/proc/self/limits`, and what counts against them in its `status`."""
_LIMIT_NAME = 26
"""The width of the names' column (Linux, fs/proc/base.c)."""

_V1 = _Hierarchy(
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_active_file", "total_inactive_file"),
)
_V2 = _Hierarchy("sys/fs/cgroup", "memory.max", "memory.current", ("active_file", "inactive_file"))


def _left_in_groups(root: Path) -> Iterator[int]:
    """The bytes that each limited control group leaves, from this process's own to the outermost."""
    membership = root / "proc/self/cgroup"
    for line in membership.read_text().splitlines() if membership.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        hierarchy = _V1 if controllers else _V2
        top = root / hierarchy.folder
        own = top / path.strip("/")
        # In a container `path` may be the host's, which is not there; the group at the top is then its own.
        for group in [own, *own.parents]:
            yield from _left_in_group(group, hierarchy)
            if group == top:
                break


def _left_in_group(group: Path, hierarchy: _Hierarchy) -> Iterator[int]:
    try:
        limit = (group / hierarchy.limit).read_text().strip()
        usage = int((group / hierarchy.usage).read_text())
        figures = _fields(group / "memory.stat")
    except OSError:
        return
    if limit != "max":
        yield int(limit) - usage + sum(figures.get(name, 0) for name in hierarchy.cached)


def _left_by_limits(root: Path) -> Iterator[int]:
    """The bytes that each limit of this process leaves; children inherit the limits, and start as large."""
    limits, status = root / "proc/self/limits", root / "proc/self/status"
    if not (limits.exists() and status.exists()):
        return
    soft = {line[:_LIMIT_NAME].strip(): line[_LIMIT_NAME:].split()[0] for line in _lines(limits)}
    used = {line.split(":")[0]: line.split()[1] for line in _lines(status) if line.endswith("kB")}
    for name, usage in _LIMITS.items():
        if soft.get(name, "unlimited") != "unlimited":
            yield int(soft[name]) - int(used[usage]) * 1024


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file with lines of a name, perhaps a colon, a number, perhaps a unit."""
    rows = [line.replace(":", " ").split() for line in path.read_text().splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1}
