"""What the kernels compute, in plain torch: the CPU versions, exact in every integer.

The sums of products of two 8-bit integers stay far below 2^53, so that FP64 holds each of them exactly
whatever the order; what follows them is FP32, as in the kernels.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional


def quantized(values: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """INT8 of `clamp(round_half_even(values * (1 / scale)) + zero, -128, 127)`, in FP32.

    The kernels multiply by the reciprocal where the quantizer divides, so a value that lies within a unit of
    FP32's last place of a half may round the other way.
    """
    steps = torch.round(values.to(torch.float32) * scale.reciprocal()) + zero
    return steps.clamp(-128, 127).to(torch.int8)


def product(x: Tensor, weight: Tensor) -> Tensor:
    """The INT32 sums of INT8 `x` [..., K] times INT8 `weight` [N, K]: [..., N]."""
    return functional.linear(x.to(torch.float64), weight.to(torch.float64)).to(torch.int32)


def convolution(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """The INT32 sums of an unpadded INT8 image [B, H, W, C] and INT8 filters [N, R, S, C]: [B, H', W', N]."""
    taps = weight.shape[1]
    rows, columns = (size - taps + 1 for size in x.shape[1:3])
    # Tap by tap: a library's convolution may go by way of transforms, which are not exact.
    parts = (
        product(x[:, row : row + rows : stride, column : column + columns : stride], weight[:, row, column])
        for row in range(taps)
        for column in range(taps)
    )
    return functools.reduce(torch.add, parts)


def padded(x: Tensor, padding: int, zero: Tensor) -> Tensor:
    """The INT8 image [B, H, W, C] in a border of `zero`, the integer that stands for 0."""
    if padding == 0:
        return x
    centred = x.to(torch.int32) - zero
    bordered = functional.pad(centred, (0, 0, padding, padding, padding, padding))
    return (bordered + zero).to(torch.int8)


def dequantized(
    sums: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    *more: Tensor | None,
) -> Tensor:
    """FP32 of `(sums + offset) * scale + bias`, plus each of `more` in turn; channels are last."""
    exact = sums if offset is None else sums + offset
    real = exact.to(torch.float32) * scale
    for term in (bias, *more):
        if term is not None:
            real = real + term.to(torch.float32)
    return real
