"""Random operands of what has no weights, for timing: attention and normalizations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mixdq.compiler.cuda.kernels.attention import int8_attention
from mixdq.compiler.cuda.kernels.group_norm import int8_group_norm
from mixdq.compiler.cuda.kernels.layer_norm import int8_layer_norm
from mixdq.compiler.cuda.kernels.shapes import Attention, Entry, GroupNorm, LayerNorm, TextAttention
from mixdq.compiler.cuda.kernels.text_attention import int8_text_attention
from mixdq.compiler.cuda.kernels.tiles import Shape, Tile, TileTable, tiles_of

_EPS = 1e-5
_GROUPS = 32


@dataclass(frozen=True, slots=True)
class UnweightedOperands:
    """Attention or a norm of one shape of the UNet, on the GPU.

    Attributes:
        shape: by which tiles are found.
        operator: launches ours.
        half: launches torch's, in FP16 to FP16.
        weight_bytes: more than the cache: there are no weights to be read from memory.
    """

    shape: Shape
    operator: Callable[[], Tensor]
    half: Callable[[], Tensor]
    weight_bytes: int = 1 << 30

    def launch(self, tile: Tile) -> Callable[[int], object]:
        """The operator with one tile."""
        table = TileTable("", {self.shape: tile})

        def run(_: int) -> object:
            with tiles_of(table):
                return self.operator()

        return run


def unweighted_operands(entry: Entry, shape: Shape, batch: int) -> UnweightedOperands:
    """Draws them."""
    work = entry.work
    if isinstance(work, Attention):
        return UnweightedOperands(shape, *_attention(work, batch))
    if isinstance(work, TextAttention):
        return UnweightedOperands(shape, *_text_attention(work, batch))
    if isinstance(work, LayerNorm):
        return UnweightedOperands(shape, *_layer_norm(work, batch))
    assert isinstance(work, GroupNorm)
    return UnweightedOperands(shape, *_group_norm(work, batch))


Pair = tuple[Callable[[], Tensor], Callable[[], Tensor]]


def _attention(work: Attention, batch: int) -> Pair:
    channels = work.heads * work.width
    query = _half(batch, work.queries, channels)
    key, value = _half(batch, work.keys, channels), _half(batch, work.keys, channels)
    q, k, v = (
        rows.reshape(batch, -1, work.heads, work.width).transpose(1, 2) for rows in (query, key, value)
    )
    grid = _grid()
    return (
        lambda: int8_attention(query, key, value, work.heads, *grid),
        lambda: functional.scaled_dot_product_attention(q, k, v),
    )


def _text_attention(work: TextAttention, batch: int) -> Pair:
    """Weights lie in the cache on both sides; in a UNet they would have to be read, 1.6 MB at most."""
    channels = work.heads * work.width
    x = torch.randint(-128, 128, (batch, work.queries, channels), device="cuda", dtype=torch.int8)
    weight = torch.randint(-128, 128, (channels, channels), device="cuda", dtype=torch.int8)
    scale = torch.full((channels,), 1e-5, device="cuda")
    offset = torch.zeros(channels, device="cuda", dtype=torch.int32)
    text = _half(batch, 77, 4 * channels)
    key, value = text[..., :channels], text[..., channels : 2 * channels]
    tokens, matrix, grid = _half(batch, work.queries, channels), _half(channels, channels), _grid()
    k, v = (rows.reshape(batch, 77, work.heads, work.width).transpose(1, 2) for rows in (key, value))

    def half() -> Tensor:
        query = functional.linear(tokens, matrix)
        q = query.reshape(batch, -1, work.heads, work.width).transpose(1, 2)
        return functional.scaled_dot_product_attention(q, k, v)

    return (
        lambda: int8_text_attention(x, weight, scale, offset, None, key, value, work.heads, *grid),
        half,
    )


def _layer_norm(work: LayerNorm, batch: int) -> Pair:
    x, weight, bias = _half(batch, work.rows, work.channels), _half(work.channels), _half(work.channels)
    grid = _grid()
    return (
        lambda: int8_layer_norm(x, weight, bias, _EPS, *grid),
        lambda: functional.layer_norm(x, weight.shape, weight, bias, _EPS),
    )


def _group_norm(work: GroupNorm, batch: int) -> Pair:
    first = _half(batch, work.side, work.side, work.first)
    second = _half(batch, work.side, work.side, work.second) if work.second else None
    channels = work.first + work.second
    weight, bias, grid, border = _half(channels), _half(channels), _grid(), int(work.silu)
    whole = first if second is None else torch.cat((first, second), dim=-1)
    images = whole.permute(0, 3, 1, 2)

    def half() -> Tensor:
        normal = functional.group_norm(images, _GROUPS, weight, bias, _EPS)
        return functional.silu(normal) if work.silu else normal

    def ours() -> Tensor:
        return int8_group_norm(first, second, weight, bias, _GROUPS, _EPS, work.silu, border, *grid)

    return ours, half


def _grid() -> tuple[Tensor, Tensor]:
    return torch.full((1,), 0.03, device="cuda"), torch.zeros(1, device="cuda", dtype=torch.int32)


def _half(*shape: int) -> Tensor:
    return torch.randn(shape, device="cuda").half()
