"""Normalizations on random operands against FP64; see `verdicts`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mixdq.compiler.cuda.kernels.group_norm import (
    half_group_norm,
    int8_group_norm,
    int8_group_norm_beside,
)
from mixdq.compiler.cuda.kernels.layer_norm import int8_layer_norm
from mixdq.compiler.cuda.kernels.shapes import GroupNorm, LayerNorm
from mixdq.compiler.cuda.kernels.verdicts import Draw, Verdict, flips_of

# Results differ from FP64's only where FP32 falls on the other side of a half.
_FLIPS = 2e-3
# FP16 rounds to half of 2^-10; for the rest there is as much again.
_HALF_ERROR = 1e-3
_EPS = 1e-5


def check_layer_norm(draw: Draw, work: LayerNorm, *, batch: int = 1) -> Verdict:
    """`int8_layer_norm`, of rows whose mean is three times their deviation."""
    x = draw.half(batch, work.rows, work.channels) + 3
    weight, bias = draw.half(work.channels), draw.half(work.channels) / 2
    normal = functional.layer_norm(x.double(), weight.shape, weight.double(), bias.double(), _EPS)
    scale, zero = _quantizer(normal)
    got = int8_layer_norm(x, weight, bias, _EPS, scale, zero)
    return _verdict(f"int8_layer_norm {work} batch {batch}", got, normal, scale, zero)


def check_group_norm(draw: Draw, work: GroupNorm, *, batch: int = 1, groups: int = 32) -> Verdict:
    """Of one image or two side by side, with SiLU and a border or neither; in FP16, and beside it, too."""
    channels, border = work.first + work.second, int(work.silu)
    first = draw.half(batch, work.side, work.side, work.first) * 2 + 3
    second = draw.half(batch, work.side, work.side, work.second) if work.second else None
    weight, bias = draw.half(channels), draw.half(channels) / 2
    whole = (first if second is None else torch.cat((first, second), dim=-1)).double()
    normal = functional.group_norm(
        whole.permute(0, 3, 1, 2), groups, weight.double(), bias.double(), _EPS
    ).permute(0, 2, 3, 1)
    normal = functional.silu(normal) if work.silu else normal
    scale, zero = _quantizer(normal)
    got = int8_group_norm(first, second, weight, bias, groups, _EPS, work.silu, border, scale, zero)
    bordered = functional.pad(normal, (0, 0, border, border, border, border))
    alone = _verdict(f"int8_group_norm {work} batch {batch}", got, bordered, scale, zero)
    grids = [_quantizer(part.double()) for part in (first, second) if part is not None]
    again, *beside = int8_group_norm_beside(
        *(first, second, weight, bias, groups, _EPS, work.silu, border, scale, zero), *grids[0], *grids[-1]
    )
    read = [
        _verdict(alone.case, one, part.double(), *grid)
        for one, part, grid in zip(beside, (first, second), grids, strict=False)
        if part is not None
    ]
    half = half_group_norm(first, second, weight, bias, groups, _EPS, work.silu, border).double()
    apart = float(((half - bordered).abs() / (bordered.abs() + 1)).max())
    return Verdict(
        alone.case,
        max(one.error for one in (alone, *read)),
        torch.equal(again, got) and apart < _HALF_ERROR and all(one.right for one in (alone, *read)),
    )


def _quantizer(expected: Tensor) -> tuple[Tensor, Tensor]:
    # No whole number, which would make halves of many FP16 values.
    scale = torch.full((1,), float(expected.abs().max()) / 139.7, device=expected.device)
    return scale, torch.full((1,), -11, dtype=torch.int32, device=expected.device)


def _verdict(case: str, got: Tensor, expected: Tensor, scale: Tensor, zero: Tensor) -> Verdict:
    flips = flips_of(got, expected, (scale, zero))
    right = got.shape == expected.shape and flips < _FLIPS
    return Verdict(case, flips, right)
