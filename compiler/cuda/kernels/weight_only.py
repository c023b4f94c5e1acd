"""Linear layers with FP16 activations and packed weights: `mixdq::w8a16_linear`, `mixdq::w4a16_linear`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixdq.compiler.cuda.kernels.linear import grid_of
from mixdq.compiler.cuda.kernels.packing import BLOCK, unpack_int4
from mixdq.compiler.cuda.kernels.register import operator, traced
from mixdq.compiler.cuda.kernels.tiles import FEW_ROWS, Tile, configuration

# Of a weight, that one program dequantizes.
_WIDENED_BYTES = 4096


def _half_like(x: Tensor, weight: Tensor, *_: Tensor | None) -> Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[0]), dtype=torch.float16)


def _finished(sums: Tensor, bias: Tensor | None, residual: Tensor | None) -> Tensor:
    for term in (bias, residual):
        if term is not None:
            sums = sums + term.float()
    return sums.half()


def _cpu_w8a16(
    x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, residual: Tensor | None
) -> Tensor:
    sums = functional.linear(x.float(), weight.float()) * scale.float()
    return _finished(sums, bias, residual)


@operator("w8a16_linear", cpu=_cpu_w8a16, shape=_half_like)
def w8a16_linear(
    x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, residual: Tensor | None
) -> Tensor:
    """A linear layer with INT8 weights that become FP16 inside the product.

    Args:
        x: FP16 [..., K].
        weight: INT8 [N, K].
        scale: FP32 or FP16 [N], the weight's.
        bias: FP16 or FP32 [N], or None.
        residual: FP16 [..., N] that is added, or None.

    Returns:
        FP16 [..., N].
    """
    return _linear("w8a16_linear", x, weight, scale, bias, residual)


def _cpu_w4a16(
    x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, residual: Tensor | None
) -> Tensor:
    steps = unpack_int4(weight).half() * scale.half().repeat_interleave(BLOCK, dim=1)
    return _finished(functional.linear(x.float(), steps.float()), bias, residual)


@operator("w4a16_linear", cpu=_cpu_w4a16, shape=_half_like)
def w4a16_linear(
    x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, residual: Tensor | None
) -> Tensor:
    """A linear layer with four-bit weights, dequantized to FP16 inside the product.

    Args:
        x: FP16 [..., K], K a multiple of 128.
        weight: UINT8 [N, K / 2], as `packing.pack_int4` makes it.
        scale: FP16 [N, K / 128].
        bias: FP16 or FP32 [N], or None.
        residual: FP16 [..., N] that is added, or None.

    Returns:
        FP16 [..., N].
    """
    return _linear("w4a16_linear", x, weight, scale, bias, residual)


def _linear(
    name: str, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, residual: Tensor | None
) -> Tensor:
    """Of few rows a kernel of ours, whose split sums torch code ends; else FP16 weights and the library's."""
    m, n, k = x.numel() // x.shape[-1], weight.shape[0], x.shape[-1]
    if m > FEW_ROWS:
        product = functional.linear(x, _widened(weight, scale, k), None if bias is None else bias.half())
        return product if residual is None else product + residual
    tile = configuration(name, m, n, k)
    shape = (*x.shape[:-1], n)
    if tile.splits > 1:
        planes = launch_weight_only_sums(x, weight, scale, tile)
        return _finished(planes.sum(0).reshape(shape), bias, residual)
    out = torch.empty(shape, dtype=torch.float16, device=x.device)
    _launch(x, weight, [scale, bias, residual, out], tile)
    return out


def _widened(weight: Tensor, scale: Tensor, inputs: int) -> Tensor:
    """FP16 [N, K] of a packed weight, for as long as its product takes."""
    from mixdq.compiler.cuda.kernels.triton_weight_only import widen_kernel

    out = torch.empty((weight.shape[0], inputs), dtype=torch.float16, device=weight.device)
    kernel: Any = traced(widen_kernel)
    # Bytes that share a scale, as far as a power of two goes: half a block of four-bit weights.
    run = min(inputs & -inputs, BLOCK // 2)
    kernel[(-(-weight.numel() // _WIDENED_BYTES),)](
        weight,
        scale,
        out,
        BYTES=weight.numel(),
        K=inputs,
        BITS=4 if weight.dtype == torch.uint8 else 8,
        RUNS=_WIDENED_BYTES // run,
        RUN=run,
    )
    return out


def launch_weight_only_sums(x: Tensor, weight: Tensor, scale: Tensor, tile: Tile) -> Tensor:
    """The FP32 parts of a product, scaled: [splits, M, N]."""
    rows = x.numel() // x.shape[-1]
    planes = torch.empty((tile.splits, rows, weight.shape[0]), dtype=torch.float32, device=x.device)
    _launch(x, weight, [scale, None, None, planes], tile)
    return planes


def _launch(x: Tensor, weight: Tensor, tensors: list[Tensor | None], tile: Tile) -> None:
    from mixdq.compiler.cuda.kernels.triton_weight_only import weight_only_linear_kernel

    m, n, k = x.numel() // x.shape[-1], weight.shape[0], x.shape[-1]
    # A kernel's absent tensors are never read; it takes the result's address in their place.
    out = tensors[-1]
    kernel: Any = traced(weight_only_linear_kernel)
    kernel[grid_of(m, n, tile)](
        x,
        weight,
        *(out if one is None else one for one in tensors),
        M=m,
        N=n,
        K=k,
        GROUP=tile.group,
        BITS=4 if weight.dtype == torch.uint8 else 8,
        HAS_BIAS=tensors[1] is not None,
        HAS_RESIDUAL=tensors[2] is not None,
        BLOCK_M=tile.block_m,
        BLOCK_N=tile.block_n,
        BLOCK_K=tile.block_k,
        SPLITS=tile.splits,
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
