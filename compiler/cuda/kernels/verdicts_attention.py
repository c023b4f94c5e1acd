"""Attention on random operands against FP64; see `verdicts`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mixdq.compiler.cuda.kernels.attention import half_attention, int8_attention
from mixdq.compiler.cuda.kernels.packing import row_offsets
from mixdq.compiler.cuda.kernels.shapes import Linear
from mixdq.compiler.cuda.kernels.text_attention import int8_text_attention
from mixdq.compiler.cuda.kernels.verdicts import Draw, Grid, Verdict, flips_of

# Shares of the softmax are rounded to FP16 before they mix the values.
_TOLERANCE = 8e-4
_FLIPS = 2e-2


def check_attention(
    draw: Draw, work: Linear, *, heads: int, keys: int, batch: int = 2, zero: int = 4
) -> Verdict:
    """`int8_attention` and `half_attention` on slices; the work's n counts all channels."""
    wide = draw.half(batch, work.m, 2 * work.n)
    text = draw.half(batch, keys, 3 * work.n)
    query, key, value = wide[..., work.n :], text[..., : work.n], text[..., work.n : 2 * work.n]
    expected = _attended(query, key, value, heads)
    half = half_attention(query, key, value, heads)
    error = float((half.double() - expected).norm() / expected.norm())
    grid = _grid(expected, zero)
    flips = flips_of(int8_attention(query, key, value, heads, *grid), expected, grid)
    right = error < _TOLERANCE and flips < _FLIPS
    return Verdict(
        f"int8_attention {work.m} queries, {keys} keys, {heads} heads batch {batch}",
        max(flips, error),
        right,
    )


def check_text_attention(
    draw: Draw, work: Linear, *, heads: int, keys: int, batch: int = 2, zero: int = 4
) -> Verdict:
    """`int8_text_attention` on slices of a text's keys and values."""
    x, weight = draw.int8(batch, work.m, work.k), draw.int8(work.n, work.k)
    scale, offset = draw.scales(work.n, least=3e-6), row_offsets(weight, 9)
    text = draw.half(batch, keys, 3 * work.n)
    key, value = text[..., : work.n], text[..., work.n : 2 * work.n]
    query = (x.double() - 9) @ weight.double().T * scale.double()
    expected = _attended(query.half(), key, value, heads)
    grid = _grid(expected, zero)
    got = int8_text_attention(x, weight, scale, offset, None, key, value, heads, *grid)
    flips = flips_of(got, expected, grid)
    case = f"int8_text_attention {work}, {keys} keys, {heads} heads batch {batch}"
    return Verdict(case, flips, flips < _FLIPS)


def _attended(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    q, k, v = (
        rows.double().reshape(*rows.shape[:2], heads, -1).transpose(1, 2) for rows in (query, key, value)
    )
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def _grid(expected: Tensor, zero: int) -> Grid:
    scale = torch.full((1,), float(expected.abs().max()) / 100, device=expected.device)
    return scale, torch.full((1,), zero, dtype=torch.int32, device=expected.device)
