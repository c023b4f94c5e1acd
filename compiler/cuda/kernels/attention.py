"""Attention whose result is quantized in the kernel that makes it: `mixdq::int8_attention`, `half_attention`.

softmax(q k^T / sqrt(width)) v of each head, sums and softmax in FP32. Between attention and the layer behind
it (`to_out`) nothing is left to do.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixdq.compiler.cuda.kernels import exact
from mixdq.compiler.cuda.kernels.register import operator, traced
from mixdq.compiler.cuda.kernels.tiles import configuration


def _cpu_mixed(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    def split(rows: Tensor) -> Tensor:
        return rows.float().reshape(*rows.shape[:2], heads, -1).transpose(1, 2)

    mixed = functional.scaled_dot_product_attention(split(query), split(key), split(value))
    return mixed.transpose(1, 2).flatten(2)


def _cpu_int8(
    query: Tensor, key: Tensor, value: Tensor, heads: int, out_scale: Tensor, out_zero: Tensor
) -> Tensor:
    return exact.quantized(_cpu_mixed(query, key, value, heads), out_scale, out_zero)


def _int8_like(query: Tensor, *_: Any) -> Tensor:
    return query.new_empty(query.shape, dtype=torch.int8)


@operator("int8_attention", cpu=_cpu_int8, shape=_int8_like)
def int8_attention(
    query: Tensor, key: Tensor, value: Tensor, heads: int, out_scale: Tensor, out_zero: Tensor
) -> Tensor:
    """Attention, quantized for the layer that follows.

    Args:
        query: FP16 [B, T, heads * width]; a slice of a wider tensor will do, with channels adjacent.
        key: FP16 [B, S, heads * width], likewise.
        value: FP16 [B, S, heads * width], likewise.
        heads: how many; their width is a power of 2, at least 16.
        out_scale: FP32 [1], the scale of the next layer's activation.
        out_zero: INT32 [1], its zero point.

    Returns:
        INT8 [B, T, heads * width].
    """
    out = torch.empty(query.shape, dtype=torch.int8, device=query.device)
    _launch(query, key, value, heads, [out_scale, out_zero, out])
    return out


def _cpu_half(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    return _cpu_mixed(query, key, value, heads).half()


def _half_like(query: Tensor, *_: Any) -> Tensor:
    return query.new_empty(query.shape)


@operator("half_attention", cpu=_cpu_half, shape=_half_like)
def half_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """The same with an FP16 result."""
    out = torch.empty(query.shape, dtype=torch.float16, device=query.device)
    _launch(query, key, value, heads, [None, None, out])
    return out


def _launch(query: Tensor, key: Tensor, value: Tensor, heads: int, tensors: list[Tensor | None]) -> None:
    from mixdq.compiler.cuda.kernels.triton_attention import attention_kernel

    images, queries, channels = query.shape
    keys, width = key.shape[1], channels // heads
    tile = configuration("int8_attention", queries, images * heads, keys)
    out = tensors[-1]
    kernel: Any = traced(attention_kernel)
    kernel[(-(-queries // tile.block_m), images * heads)](
        query,
        key,
        value,
        *(out if one is None else one for one in tensors),
        QUERIES=queries,
        KEYS=keys,
        **strides(QUERY=query, KEY=key, VALUE=value),
        FACTOR=math.log2(math.e) / math.sqrt(width),
        HEADS=heads,
        WIDTH=width,
        TO_INT8=tensors[0] is not None,
        BLOCK_M=tile.block_m,
        BLOCK_N=tile.block_n,
        num_warps=tile.warps,
        num_stages=tile.stages,
    )


def strides(**tensors: Tensor) -> dict[str, int]:
    """How far images and rows of tensors [B, T, N] lie apart: `KEY_IMAGE` and `KEY_ROW` of `KEY`."""
    steps: dict[str, int] = {}
    for name, tensor in tensors.items():
        steps |= {f"{name}_IMAGE": tensor.stride(0), f"{name}_ROW": tensor.stride(1)}
    return steps
