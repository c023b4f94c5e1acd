"""What the CUDA back end needs of a machine, asked before anything is loaded."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from mixdq.configs.bundle import Component, EngineRecord
from mixdq.configs.errors import BundleError, MachineError, TargetError
from mixdq.configs.gpu import Gpu
from mixdq.configs.target import Target

_LEAST_CAPABILITY = 80
_MIB = 1 << 20


class TunedElsewhereWarning(UserWarning):
    """Packages run on another GPU than the one that they were tuned for."""


def require_cuda(target: Target, gpu: Gpu | None) -> Gpu:
    """The GPU that a target's packages run on.

    Raises:
        TargetError: there is none, it is too old, or of another compute capability.
    """
    if gpu is None:
        raise TargetError(
            f"{target} engines run on an NVIDIA GPU, and this machine has none that its driver shows; run "
            "them on a machine that has one, or load a bundle that was built with --target cpu"
        )
    if gpu.sm < _LEAST_CAPABILITY:
        raise TargetError(
            f"{target} engines need a GPU of compute capability 8.0 or more, found {gpu.name} of "
            f"{gpu.sm // 10}.{gpu.sm % 10}; use --target rtx:sm{gpu.sm} or cpu"
        )
    if target.sm != gpu.sm:
        raise TargetError(
            f"{target} engines hold machine code for that compute capability alone, found {gpu.name} (sm"
            f"{gpu.sm}); build on this machine with `mixdq-compile run MODEL --target cuda:sm{gpu.sm}`"
        )
    return gpu


def load_torch(target: Target) -> Any:
    """torch, with a GPU that it can use.

    Raises:
        TargetError: it is not installed, or has no CUDA.
    """
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        raise TargetError(
            f"{target} engines are run by torch, which does not load here ({error}); install torch's build "
            "for CUDA, in the version that built the bundle"
        ) from error
    if not torch.cuda.is_available():
        raise TargetError(
            f"torch {torch.__version__} can't use the GPU here; install its build for CUDA, in the version "
            "that built the bundle"
        )
    return torch


def check_package(record: EngineRecord, version: str) -> None:
    """Refuses a package that another torch built.

    Raises:
        BundleError: says both versions.
    """
    if record.builder != f"torch {version}":
        raise BundleError(
            f"{record.file.path} was built by {record.builder}, and such a package is read by that version "
            f"alone; found torch {version}; install the version that built it, or build the bundle again here"
        )


def tuned_elsewhere(record: EngineRecord, gpu: Gpu) -> str | None:
    """What to say of a package that was tuned for another GPU of the same compute capability; else None.

    It computes the same there, perhaps more slowly than it could.
    """
    if record.built_for == gpu.name:
        return None
    return (
        f"these {record.target} engines were compiled and tuned for {record.built_for}, found {gpu.name}: "
        "they run here, perhaps more slowly than they could; `mixdq-compile run` on this machine compiles "
        "them for its GPU, with kernels' tiles that were tuned for it or, without any, chosen by rule"
    )


def check_room(component: Component, constants: int, scratch: int, free: int) -> None:
    """Refuses a package that the GPU has no room for.

    Args:
        component: the network.
        constants: bytes that are still to be loaded.
        scratch: bytes that computing takes, as they were measured when it was compiled.
        free: bytes that the GPU and torch's allocator have free.

    Raises:
        MachineError: says what it needs, and what there is.
    """
    if constants + scratch > free:
        raise MachineError(
            f"{component} needs {_mib(constants)} MiB of the GPU's memory for its weights and "
            f"{_mib(scratch)} MiB to compute, and {free // _MIB} MiB are free; end what else runs on the "
            "GPU, or build a bundle of fewer bits, a lower resolution or a smaller batch"
        )


def check_all(records: Sequence[EngineRecord], free: int) -> None:
    """Refuses engines whose weights and computing together, at the smallest resolution, have no room.

    Args:
        records: all that a bundle has for one target.
        free: bytes that the GPU and torch's allocator have free.

    Raises:
        MachineError: says what they need, and what there is.
    """
    weights = {file.path: file.bytes for record in records for file in record.weights}
    constants, sizes = sum(weights.values()), {record.resolution for record in records} - {None}
    scratch = min(
        max(record.scratch_bytes or 0 for record in records if record.resolution in (None, size))
        for size in sizes or {None}
    )
    if constants + scratch > free:
        raise MachineError(
            f"the engines of {records[0].target} need {_mib(constants)} MiB of the GPU's memory for their "
            f"weights and {_mib(scratch)} MiB to compute at the smallest resolution, and {free // _MIB} MiB "
            "are free; end what else runs on the GPU, or build a bundle of fewer bits"
        )


def _mib(size: int) -> int:
    return -(-size // _MIB)
