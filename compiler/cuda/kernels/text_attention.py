"""Attention to a text in one kernel with the layer that makes its queries: `mixdq::int8_text_attention`.

A text's keys are so few that each block of queries can be used where it was computed, and a head's width is
a tile's. Keys and values are those that `int8_text_linear` made.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixdq.compiler.cuda.kernels import exact
from mixdq.compiler.cuda.kernels.attention import strides
from mixdq.compiler.cuda.kernels.register import operator, traced
from mixdq.compiler.cuda.kernels.tiles import configuration

MOST_KEYS = 128
"""Tokens of a text, at most."""

FEWEST_INPUTS = 64
"""Of the layer that makes queries: two steps of what a matrix instruction of INT8 sums at once."""


def _cpu(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    key: Tensor,
    value: Tensor,
    heads: int,
    out_scale: Tensor,
    out_zero: Tensor,
) -> Tensor:
    def split(rows: Tensor) -> Tensor:
        return rows.float().reshape(*rows.shape[:2], heads, -1).transpose(1, 2)

    query = exact.dequantized(exact.product(x, weight), scale, offset, bias).half()
    mixed = functional.scaled_dot_product_attention(split(query), split(key), split(value))
    return exact.quantized(mixed.transpose(1, 2).flatten(2), out_scale, out_zero)


def _int8_like(x: Tensor, weight: Tensor, *_: Any) -> Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[0]), dtype=torch.int8)


@operator("int8_text_attention", cpu=_cpu, shape=_int8_like)
def int8_text_attention(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    key: Tensor,
    value: Tensor,
    heads: int,
    out_scale: Tensor,
    out_zero: Tensor,
) -> Tensor:
    """A linear layer that makes queries, attention, and the quantizer of the layer that follows.

    Args:
        x: INT8 [B, T, K], K at least 64.
        weight: INT8 [heads * width, K]; the width is a power of 2, at least 16.
        scale: FP32 [N], the activation's scale times the weight's.
        offset: INT32 [N]; None for a zero point of 0.
        bias: FP16 or FP32 [N], or None.
        key: FP16 [B, S, N], S at most 128; a slice of a wider tensor will do, with channels adjacent.
        value: FP16 [B, S, N], likewise.
        heads: how many.
        out_scale: FP32 [1], the scale of the next layer's activation.
        out_zero: INT32 [1], its zero point.

    Returns:
        INT8 [B, T, N].
    """
    from mixdq.compiler.cuda.kernels.triton_text_attention import text_attention_kernel

    images, tokens, inputs = x.shape
    channels, keys = weight.shape[0], key.shape[1]
    assert keys <= MOST_KEYS, keys
    assert inputs >= FEWEST_INPUTS, inputs
    width = channels // heads
    tile = configuration("int8_text_attention", images * tokens, channels, inputs)
    block_k = min(tile.block_k, _longest_step(inputs))
    out = torch.empty((images, tokens, channels), dtype=torch.int8, device=x.device)
    kernel: Any = traced(text_attention_kernel)
    kernel[(-(-tokens // tile.block_m) * heads, images)](
        x,
        weight,
        scale,
        # An absent tensor is never read; the kernel takes the result's address in its place.
        out if offset is None else offset,
        out if bias is None else bias,
        key,
        value,
        out_scale,
        out_zero,
        out,
        TOKENS=tokens,
        KEYS=keys,
        N=channels,
        K=inputs,
        **strides(KEY=key, VALUE=value),
        GROUP=tile.group,
        FACTOR=math.log2(math.e) / math.sqrt(width),
        HAS_OFFSET=offset is not None,
        HAS_BIAS=bias is not None,
        EARLY=tile.early,
        WIDTH=width,
        BLOCK_M=tile.block_m,
        BLOCK_KEYS=max(16, 1 << (keys - 1).bit_length()),
        BLOCK_K=block_k,
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
    return out


def _longest_step(inputs: int) -> int:
    """The largest power of two that leaves the sums of so many inputs two steps.

    Of a single step ptxas 12.8 (Triton 3.6 and 3.7) makes code that reads a register which nothing wrote, the
    address of the values: where there is a loop it does not.
    """
    return 1 << ((inputs - 1).bit_length() - 1)
