"""GEGLU in one kernel: `mixdq::int8_geglu`, quantized for the next layer, and `int8_geglu_half`.

Of a feed-forward's first layer [2N, K], as diffusers stores it, the first N rows give values and the others
gates; the result is `value * gelu(gate)` with the exact (erf) form, in FP32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixdq.compiler.cuda.kernels import exact
from mixdq.compiler.cuda.kernels.linear import grid_of
from mixdq.compiler.cuda.kernels.register import operator, traced
from mixdq.compiler.cuda.kernels.tiles import Tile, configuration


def _empty(x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[0] // 2), dtype=dtype)


def _cpu_gated(
    x: Tensor, weight: Tensor, scale: Tensor, offset: Tensor | None, bias: Tensor | None
) -> Tensor:
    hidden = exact.dequantized(exact.product(x, weight), scale, offset, bias)
    value, gate = hidden.chunk(2, dim=-1)
    return value * functional.gelu(gate)


def _cpu_geglu(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    out_scale: Tensor,
    out_zero: Tensor,
) -> Tensor:
    return exact.quantized(_cpu_gated(x, weight, scale, offset, bias), out_scale, out_zero)


def _int8_like(x: Tensor, weight: Tensor, *_: Tensor | None) -> Tensor:
    return _empty(x, weight, torch.int8)


@operator("int8_geglu", cpu=_cpu_geglu, shape=_int8_like)
def int8_geglu(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    out_scale: Tensor,
    out_zero: Tensor,
) -> Tensor:
    """A feed-forward's first layer and its gate, quantized for the second layer.

    Args:
        x: INT8 [..., K].
        weight: INT8 [2N, K], values then gates.
        scale: FP32 [2N].
        offset: INT32 [2N] or None.
        bias: FP16 or FP32 [2N], or None.
        out_scale: FP32 [1], the scale of the second layer's activation.
        out_zero: INT32 [1], its zero point.

    Returns:
        INT8 [..., N].
    """
    out = torch.empty((*x.shape[:-1], weight.shape[0] // 2), dtype=torch.int8, device=x.device)
    launch_geglu(x, weight, [scale, offset, bias, out_scale, out_zero, out])
    return out


def _cpu_geglu_half(
    x: Tensor, weight: Tensor, scale: Tensor, offset: Tensor | None, bias: Tensor | None
) -> Tensor:
    return _cpu_gated(x, weight, scale, offset, bias).half()


def _half_like(x: Tensor, weight: Tensor, *_: Tensor | None) -> Tensor:
    return _empty(x, weight, torch.float16)


@operator("int8_geglu_half", cpu=_cpu_geglu_half, shape=_half_like)
def int8_geglu_half(
    x: Tensor, weight: Tensor, scale: Tensor, offset: Tensor | None, bias: Tensor | None
) -> Tensor:
    """The same with an FP16 result [..., N], for a second layer whose activation isn't quantized."""
    out = torch.empty((*x.shape[:-1], weight.shape[0] // 2), dtype=torch.float16, device=x.device)
    launch_geglu(x, weight, [scale, offset, bias, None, None, out])
    return out


def launch_geglu(x: Tensor, weight: Tensor, tensors: list[Tensor | None], *, sums_only: bool = False) -> None:
    """Launches the kernel on scale, offset, bias, the result's scale and zero point, and the result."""
    from mixdq.compiler.cuda.kernels.triton_geglu import int8_geglu_kernel

    m, n, k = x.numel() // x.shape[-1], weight.shape[0] // 2, x.shape[-1]
    tile: Tile = configuration("int8_geglu", m, n, k)
    out = tensors[-1]
    kernel: Any = traced(int8_geglu_kernel)
    kernel[(grid_of(m, n, tile)[0],)](
        x,
        weight,
        *(out if one is None else one for one in tensors),
        M=m,
        N=n,
        K=k,
        GROUP=tile.group,
        HAS_OFFSET=tensors[1] is not None,
        HAS_BIAS=tensors[2] is not None,
        TO_INT8=tensors[3] is not None,
        SUMS_ONLY=sums_only,
        EARLY=tile.early,
        BLOCK_M=tile.block_m,
        BLOCK_N=tile.block_n,
        BLOCK_K=tile.block_k,
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
