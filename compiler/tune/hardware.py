"""Whether a target's engines can be measured on this machine; asked before anything else."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from mixdq.compiler.builders import require_builder
from mixdq.configs.errors import TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import Backend, Target
from mixdq.configs.tensorrt_product import MODULES, PRODUCTS

CUDA_MODULE = "cuda.bindings.runtime"


def require_hardware(target: Target) -> str:
    """The target with its compute capability, as `mixdq-compile targets` knows it: `tensorrt:sm90`.

    Raises:
        TargetError: the builder, cuda-python or the GPU is missing, or the GPU is another; says what is
            needed. Or nothing here measures such a target's engines.
    """
    if target.backend is Backend.CPU:
        require_builder(target)
        return str(target)
    if target.backend not in PRODUCTS:
        raise TargetError(
            f"tune measures engines of ONNX Runtime, TensorRT for RTX and TensorRT, and {target} makes none "
            "of these; give --target cpu, rtx:sm89 or tensorrt"
        )
    product = PRODUCTS[target.backend]
    wanted = (
        "an NVIDIA GPU" if target.sm is None else f"an NVIDIA GPU of compute capability {_said(target.sm)}"
    )
    gpu = find_gpu()
    if gpu is None or (target.sm is not None and target.sm != gpu.sm):
        found = (
            "this machine has none that its driver shows" if gpu is None else f"found {gpu.name} (sm{gpu.sm})"
        )
        raise TargetError(
            f"tune measures engines where they run: {target} needs {wanted} and {product}, and {found}; run "
            "the same command on a machine that has one, or tune for --target cpu here"
        )
    for name in (MODULES[target.backend], CUDA_MODULE):
        _require_module(target, name)
    return f"{target.backend}:sm{gpu.sm}"


def load_product(target: Target) -> Any:
    """The Python module of a target's product.

    Raises:
        TargetError: it is not installed or does not load.
    """
    return _require_module(target, MODULES[target.backend])


def load_cuda(target: Target) -> Any:
    """CUDA's runtime.

    Raises:
        TargetError: it is not installed or does not load.
    """
    return _require_module(target, CUDA_MODULE)


def _require_module(target: Target, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        raise TargetError(
            f"tune measures engines where they run: {target} needs the Python module {name}, which does not "
            f"load here ({error}); install it with `pip install 'mixdq[{target.backend}]'`"
        ) from error


def _said(sm: int) -> str:
    return f"{sm // 10}.{sm % 10}"
