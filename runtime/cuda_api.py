"""Every name of CUDA's runtime that mixdq uses, listed once, and the module that holds them.

`cuda.bindings.runtime` (of cuda-python) returns a tuple: the error, then the results.
"""

# ruff: noqa: D102, N802, N803, N815  (CUDA's own names and documentation)

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, Protocol, TypeAlias, cast

from mixdq.configs.errors import MachineError, TargetError

CUDA_MODULE = "cuda.bindings.runtime"
Result: TypeAlias = tuple[Any, ...]


class CudaRuntime(Protocol):
    """What is used of `cuda.bindings.runtime`; a test compares it with the installed module."""

    cudaMemcpyKind: Any
    cudaStreamCaptureMode: Any
    cudaStreamNonBlocking: int

    def cudaMalloc(self, size: int) -> Result: ...
    def cudaFree(self, devPtr: int) -> Result: ...
    def cudaMallocHost(self, size: int) -> Result: ...
    def cudaFreeHost(self, ptr: int) -> Result: ...
    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: Any, stream: Any) -> Result: ...
    def cudaMemGetInfo(self) -> Result: ...
    def cudaStreamCreateWithFlags(self, flags: int) -> Result: ...
    def cudaStreamDestroy(self, stream: Any) -> Result: ...
    def cudaStreamSynchronize(self, stream: Any) -> Result: ...
    def cudaStreamBeginCapture(self, stream: Any, mode: Any) -> Result: ...
    def cudaStreamEndCapture(self, stream: Any) -> Result: ...
    def cudaGraphInstantiate(self, graph: Any, flags: int) -> Result: ...
    def cudaGraphLaunch(self, graphExec: Any, stream: Any) -> Result: ...
    def cudaGraphExecDestroy(self, graphExec: Any) -> Result: ...
    def cudaGraphDestroy(self, graph: Any) -> Result: ...
    def cudaGetErrorString(self, error: Any) -> Result: ...


@cache
def cuda_runtime() -> CudaRuntime:
    """CUDA's runtime, imported when it is first needed.

    Raises:
        TargetError: cuda-python is not installed, or does not load.
    """
    try:
        return cast(CudaRuntime, importlib.import_module(CUDA_MODULE))
    except (ImportError, OSError, RuntimeError) as error:
        raise TargetError(
            f"engines on an NVIDIA GPU need cuda-python, which does not load here ({error}); install it with "
            "`pip install 'mixdq[rtx]'` or `'mixdq[tensorrt]'`"
        ) from error


def checked(result: Result, doing: str) -> Any:
    """The value that a call returned.

    Args:
        result: what the call returned; the error first.
        doing: what it was to do, for the error: `copy to the GPU`.

    Raises:
        MachineError: CUDA reports an error.
    """
    error, *values = result
    if int(error) != 0:
        raise MachineError(
            f"CUDA could not {doing}: {error_text(error)}; see `nvidia-smi` for the GPU's state and what "
            "else uses it"
        )
    return values[0] if values else None


def error_text(error: Any) -> str:
    """CUDA's own words for an error, with its number."""
    _, text = cuda_runtime().cudaGetErrorString(error)
    return f"{text.decode(errors='replace')} (error {int(error)})"


def free_and_total_bytes() -> tuple[int, int]:
    """Memory of the GPU: what is free, and all of it."""
    error, free, total = cuda_runtime().cudaMemGetInfo()
    checked((error,), "read the GPU's memory")
    return int(free), int(total)
