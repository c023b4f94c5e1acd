"""Whether TensorRT engines can be executed here, before any of TensorRT is asked."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from mixdq.configs.bundle import EngineRecord
from mixdq.configs.errors import BundleError, TargetError
from mixdq.configs.gpu import Gpu, find_gpu
from mixdq.configs.target import RTX_COMPUTE_CAPABILITIES, Target
from mixdq.configs.tensorrt_product import MODULES, PRODUCTS, builder_name
from mixdq.runtime.cuda_api import cuda_runtime


def require_gpu(target: Target, gpu: Gpu | None) -> Gpu:
    """The GPU that engines of a target run on.

    Args:
        target: `tensorrt` or `rtx:sm89`.
        gpu: this machine's; None without one.

    Raises:
        TargetError: there is none, or it is of another compute capability.
    """
    if gpu is None:
        raise TargetError(
            f"{target} engines run on an NVIDIA GPU, and this machine has none that its driver shows; run "
            "them on a machine that has one, or load a bundle that was built with --target cpu"
        )
    if target.sm is not None and target.sm != gpu.sm:
        raise TargetError(
            f"{target} engines run on GPUs of compute capability {_capability(target.sm)}, found {gpu.name} "
            f"of {_capability(gpu.sm)}; {_advice(gpu)}"
        )
    return gpu


def load_tensorrt(target: Target) -> Any:
    """The Python module that executes a target's engines.

    Raises:
        TargetError: it, or cuda-python, is not installed or does not load.
    """
    cuda_runtime()
    try:
        return importlib.import_module(MODULES[target.backend])
    except (ImportError, OSError) as error:
        raise TargetError(
            f"{target} engines need {PRODUCTS[target.backend]}, which does not load here ({error}); install "
            f"it with `pip install 'mixdq[{target.backend}]'`"
        ) from error


def require_executable(target: Target) -> tuple[Any, Gpu]:
    """The module and the GPU that execute a target's engines.

    Raises:
        TargetError: one of them is missing or the wrong one; says which, and what to do.
    """
    gpu = require_gpu(target, find_gpu())
    return load_tensorrt(target), gpu


def check_built_for(record: EngineRecord, target: Target, version: str, gpu: Gpu) -> None:
    """Refuses an engine that was built for another GPU or by another version.

    Args:
        record: the engine's entry in the bundle.
        target: what it was built for.
        version: of the module that is to execute it: `1.7.1.116`.
        gpu: what is to execute it.

    Raises:
        TargetError: another GPU.
        BundleError: another version.
    """
    if record.built_for not in (f"sm{gpu.sm}", gpu.name):
        raise TargetError(
            f"{record.file.path} was built for {record.built_for}, and such an engine runs nowhere else; "
            f"found {gpu.name} (sm{gpu.sm}); {_advice(gpu)}"
        )
    ours = builder_name(target.backend, version)
    if not _same_version(record.builder, ours):
        raise BundleError(
            f"{record.file.path} was built by {record.builder}, and such an engine is read by that version "
            f"alone; found {ours}; install the version that built it, or build the bundle again here"
        )


def _same_version(built: str, found: str) -> bool:
    """Whether two names with versions agree as far as both are given: 1.7.1 is 1.7.1.116."""
    (builder, _, theirs), (name, _, ours) = built.rpartition(" "), found.rpartition(" ")
    return builder == name and all(
        one == other for one, other in zip(theirs.split("."), ours.split("."), strict=False)
    )


def _advice(gpu: Gpu) -> str:
    if gpu.sm in RTX_COMPUTE_CAPABILITIES:
        return f"build for it with `mixdq-compile run MODEL --target rtx:sm{gpu.sm}`"
    return (
        f"TensorRT for RTX does not run on compute capability {_capability(gpu.sm)}: build on this machine "
        "with `mixdq-compile run MODEL --target tensorrt`, or use --target cpu"
    )


def _capability(sm: int) -> str:
    return f"{sm // 10}.{sm % 10}"
