"""Group norms quantized for the layer that reads them: `mixdq::int8_group_norm`; `half_group_norm` is FP16.

`int8_group_norm_beside` also quantizes what it reads, as it is, for a shortcut around the norm.

Statistics and arithmetic are FP32; nothing is rounded to FP16 before it is quantized.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixdq.compiler.cuda.kernels import exact
from mixdq.compiler.cuda.kernels.group_norm_launch import Norm, normalize
from mixdq.compiler.cuda.kernels.register import operator


def _normalized_images(
    first: Tensor,
    second: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    eps: float,
    silu: bool,
) -> Tensor:
    whole = (first if second is None else torch.cat((first, second), dim=-1)).float()
    batch, height, width, channels = whole.shape
    grouped = whole.reshape(batch, height * width, groups, channels // groups)
    variance, mean = torch.var_mean(grouped, dim=(1, 3), correction=0, keepdim=True)
    normal = ((grouped - mean) * torch.rsqrt(variance + eps)).reshape(whole.shape)
    scaled = normal * weight.float() + bias.float()
    return functional.silu(scaled) if silu else scaled


def _cpu_group_norm(
    first: Tensor,
    second: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    eps: float,
    silu: bool,
    border: int,
    out_scale: Tensor,
    out_zero: Tensor,
) -> Tensor:
    normal = _normalized_images(first, second, weight, bias, groups, eps, silu)
    return exact.padded(exact.quantized(normal, out_scale, out_zero), border, out_zero)


def _bordered(first: Tensor, second: Tensor | None, border: int, dtype: torch.dtype) -> Tensor:
    batch, height, width, channels = first.shape
    channels += 0 if second is None else second.shape[-1]
    return first.new_empty((batch, height + 2 * border, width + 2 * border, channels), dtype=dtype)


def _int8_bordered(first: Tensor, second: Tensor | None, *others: Any) -> Tensor:
    return _bordered(first, second, others[5], torch.int8)


@operator("int8_group_norm", cpu=_cpu_group_norm, shape=_int8_bordered)
def int8_group_norm(
    first: Tensor,
    second: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    eps: float,
    silu: bool,
    border: int,
    out_scale: Tensor,
    out_zero: Tensor,
) -> Tensor:
    """A group norm, SiLU behind it if wanted, and the border that a convolution reads.

    Args:
        first: FP16 [B, H, W, C1].
        second: FP16 [B, H, W, C2], whose channels follow those of `first`; or None.
        weight: FP16 [C1 + C2].
        bias: FP16 [C1 + C2].
        groups: how many.
        eps: is added to the variance.
        silu: whether SiLU follows.
        border: pixels of the zero point around the result.
        out_scale: FP32 [1], the scale of the next layer's activation.
        out_zero: INT32 [1], its zero point.

    Returns:
        INT8 [B, H + 2 * border, W + 2 * border, C1 + C2].
    """
    out = _bordered(first, second, border, torch.int8)
    norm = Norm(first, second, weight, bias, groups, eps, silu, border)
    return normalize(norm, (out_scale, out_zero, out))


def _cpu_group_norm_beside(
    first: Tensor, second: Tensor | None, *others: Any
) -> tuple[Tensor, Tensor, Tensor]:
    *norm, first_scale, first_zero, second_scale, second_zero = others
    normal = _cpu_group_norm(first, second, *norm)
    other = first.new_empty(0, dtype=torch.int8)
    if second is not None:
        other = exact.quantized(second, second_scale, second_zero)
    return normal, exact.quantized(first, first_scale, first_zero), other


def _three_like(first: Tensor, second: Tensor | None, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    normal = _bordered(first, second, others[5], torch.int8)
    return normal, *_integers_like(first, second)


def _integers_like(first: Tensor, second: Tensor | None) -> tuple[Tensor, Tensor]:
    """Empty, contiguous INT8 of the shapes of both; of none where there is no second."""
    shape = (0,) if second is None else second.shape
    return first.new_empty(first.shape, dtype=torch.int8), first.new_empty(shape, dtype=torch.int8)


@operator("int8_group_norm_beside", cpu=_cpu_group_norm_beside, shape=_three_like)
def int8_group_norm_beside(
    first: Tensor,
    second: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    eps: float,
    silu: bool,
    border: int,
    out_scale: Tensor,
    out_zero: Tensor,
    first_scale: Tensor,
    first_zero: Tensor,
    second_scale: Tensor,
    second_zero: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """`int8_group_norm`, and what it reads, quantized without being normalized.

    Args:
        first: as in `int8_group_norm`, and so are the others.
        second: [B, H, W, C2] or None.
        weight: [C1 + C2].
        bias: [C1 + C2].
        groups: how many.
        eps: is added to the variance.
        silu: whether SiLU follows.
        border: pixels of the zero point around the normalized result.
        out_scale: FP32 [1], the scale of the layer that reads the norm.
        out_zero: INT32 [1], its zero point.
        first_scale: FP32 [1], the scale of the layer that reads `first`.
        first_zero: INT32 [1], its zero point.
        second_scale: FP32 [1], the scale of the layer that reads `second`.
        second_zero: INT32 [1], its zero point.

    Returns:
        INT8 [B, H + 2 * border, W + 2 * border, C1 + C2], [B, H, W, C1] and [B, H, W, C2]; the last is of
        [0] where there is no `second`.
    """
    out = _bordered(first, second, border, torch.int8)
    beside = _integers_like(first, second)
    norm = Norm(first, second, weight, bias, groups, eps, silu, border)
    grids = (first_scale, first_zero, second_scale, second_zero)
    return normalize(norm, (out_scale, out_zero, out), (*grids, *beside)), *beside


def _cpu_half_group_norm(
    first: Tensor,
    second: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    eps: float,
    silu: bool,
    border: int,
) -> Tensor:
    normal = _normalized_images(first, second, weight, bias, groups, eps, silu)
    return functional.pad(normal, (0, 0, border, border, border, border)).half()


def _half_bordered(first: Tensor, second: Tensor | None, *others: Any) -> Tensor:
    return _bordered(first, second, others[5], torch.float16)


@operator("half_group_norm", cpu=_cpu_half_group_norm, shape=_half_bordered)
def half_group_norm(
    first: Tensor,
    second: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    eps: float,
    silu: bool,
    border: int,
) -> Tensor:
    """The same with an FP16 result in a border of 0."""
    out = _bordered(first, second, border, torch.float16)
    norm = Norm(first, second, weight, bias, groups, eps, silu, border)
    return normalize(norm, (weight, weight, out))
