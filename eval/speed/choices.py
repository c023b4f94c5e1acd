"""What the command line lets one choose: where to compute, and in which numbers."""

from __future__ import annotations

from enum import StrEnum


class Device(StrEnum):
    """Where ONNX Runtime and torch compute."""

    CPU = "cpu"
    CUDA = "cuda"


class TorchPrecision(StrEnum):
    """What torch computes in."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
