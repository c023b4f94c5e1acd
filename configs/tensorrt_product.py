"""TensorRT and TensorRT for RTX, which build and execute engines alike: their names, and what they log."""

from __future__ import annotations

from typing import Any

from mixdq.configs.target import Backend

MODULES = {Backend.TENSORRT: "tensorrt", Backend.RTX: "tensorrt_rtx"}
"""The Python module of each product."""

PRODUCTS = {Backend.TENSORRT: "TensorRT", Backend.RTX: "TensorRT for RTX"}
"""What users know each product by."""

_OUT_OF_MEMORY = ("out of memory", "outofmemory")
_SAID_LAST = 3


def builder_name(backend: Backend, version: str) -> str:
    """Product and version, as the bundle records them: `tensorrt-rtx 1.7.1`."""
    return f"{MODULES[backend].replace('_', '-')} {version}"


def error_log(trt: Any) -> Any:
    """A logger that keeps the errors for the exception (`errors`, a list) and prints nothing.

    Args:
        trt: the product's module.
    """

    class ErrorLog(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return ErrorLog()


def reasons(log: Any) -> str:
    """The last errors of an `error_log`, as one line."""
    return "; ".join(log.errors[-_SAID_LAST:]) or "TensorRT gave no reason"


def says_out_of_memory(log: Any) -> bool:
    """Whether an error of an `error_log` is that memory ran out.

    TensorRT's words are CUDA's (`Error Code 1: Cuda Runtime (out of memory)`), or its own error's name
    (`Error Code 2: OutOfMemory (no further information)`).
    """
    return any(words in error.lower() for error in log.errors for words in _OUT_OF_MEMORY)
