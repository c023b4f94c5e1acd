"""What the machine has room for, asked before the work begins: a run must not fail for it after an hour."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from mixdq.compiler.memory import available_mib
from mixdq.compiler.stages import Stage
from mixdq.configs.errors import MachineError, StorageError

IDLE_TORCH_MIB = 1024.0
"""What a child process that has imported torch holds between two stages, at most."""

_RESERVE_MIB = 512.0
_MIB_PER_GIB = 1 << 10
_BYTES_PER_MIB = 1 << 20


def memory_for_stages() -> float:
    """The MiB that all stages together may take now: what is available, less a reserve."""
    return max(0.0, available_mib() - _RESERVE_MIB)


def check_memory(stages: Collection[Stage], memory_mib: float) -> None:
    """Checks that each stage, alone, has enough memory.

    Args:
        stages: those that are to be done.
        memory_mib: what there is for them.

    Raises:
        MachineError: one needs more.
    """
    large = sorted(
        (stage for stage in stages if stage.memory_mib > memory_mib), key=lambda stage: -stage.memory_mib
    )
    if not large:
        return
    first, *others = large
    names = ", ".join(f"`{stage.name}`" for stage in others[:3])
    more = f" (too little also for {names}{', …' if len(others) > 3 else ''})" if others else ""
    raise MachineError(
        f"`{first.name}` needs about {_size(first.memory_mib)} of memory, and this machine has "
        f"{_size(memory_mib)} for it{more}. Nothing was begun. Close other programs, raise a limit that is "
        "set (`ulimit -v`) or use a machine with more memory; or ask for less: a smaller --resolution or "
        "batch, fewer bits, or --target cpu if it is another target's engine"
    )


def check_disk(stages: Collection[Stage]) -> None:
    """Checks that what stages will write fits on the disks.

    What a stage made before goes when it is made again, but only after the new file is whole: so there must
    be room for the growth, and for the largest stage's files at any rate.

    Args:
        stages: those that are to be done.

    Raises:
        StorageError: a disk has too little space.
    """
    by_disk: dict[int, list[Stage]] = {}
    for stage in stages:
        by_disk.setdefault(stage.book.root.stat().st_dev, []).append(stage)
    for together in by_disk.values():
        growth = sum(stage.disk_bytes - stage.book.bytes_of(stage.name) for stage in together)
        need = max(growth, *(stage.disk_bytes for stage in together))
        _check_free(need, sorted({stage.book.root for stage in together}))


def _check_free(need: int, folders: list[Path]) -> None:
    free = shutil.disk_usage(folders[0]).free
    if need > free:
        names = " and ".join(map(str, folders))
        raise StorageError(
            f"about {_size(need / _BYTES_PER_MIB)} will be written to {names}, and on its disk "
            f"there are {_size(free / _BYTES_PER_MIB)} free. Nothing was begun. Free some space, or choose "
            "folders on another disk (--out, --work)"
        )


def _size(mib: float) -> str:
    return f"{mib:.0f} MiB" if mib < _MIB_PER_GIB else f"{mib / _MIB_PER_GIB:.1f} GiB"
