"""INT8 linear layers: `mixdq::int8_linear`, `int8_quantized_linear`, `int8_text_linear`.

An activation x is stored as `q = clamp(round(x / s) + z, -128, 127)`, a weight as INT8 with a scale a row.
With `scale = s * s_w` and `offset = -z * (the weight's row sums)` (`packing.row_offsets`) a layer is

    y = (q @ weight.T + offset) * scale + bias + residual

The sums of products are exact in INT32; what follows is FP32. Tensors are contiguous, FP16 unless said
otherwise, channels last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mixdq.compiler.cuda.kernels import exact
from mixdq.compiler.cuda.kernels.register import operator, traced
from mixdq.compiler.cuda.kernels.tiles import Tile, configuration


def _half_like(x: Tensor, weight: Tensor, *_: Tensor | None) -> Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[0]), dtype=torch.float16)


def _cpu_linear(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
) -> Tensor:
    return exact.dequantized(exact.product(x, weight), scale, offset, bias, residual).half()


@operator("int8_linear", cpu=_cpu_linear, shape=_half_like)
def int8_linear(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
) -> Tensor:
    """A linear layer of quantized activations.

    Args:
        x: INT8 [..., K].
        weight: INT8 [N, K].
        scale: FP32 [N], the activation's scale times the weight's.
        offset: INT32 [N]; None for a zero point of 0.
        bias: FP16 or FP32 [N], or None.
        residual: FP16 [..., N] that is added, or None.

    Returns:
        FP16 [..., N].
    """
    return launch_linear(Work(x, weight, "int8_linear"), scale, offset, bias, residual=residual)


def _cpu_quantized_linear(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    out_scale: Tensor,
    out_zero: Tensor,
) -> Tensor:
    real = exact.dequantized(exact.product(x, weight), scale, offset, bias, residual)
    return exact.quantized(real, out_scale, out_zero)


def _int8_like(x: Tensor, weight: Tensor, *_: Tensor | None) -> Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[0]))


@operator("int8_quantized_linear", cpu=_cpu_quantized_linear, shape=_int8_like)
def int8_quantized_linear(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    out_scale: Tensor,
    out_zero: Tensor,
) -> Tensor:
    """A linear layer whose result, residual included, goes to another layer alone, and is quantized for it.

    Args:
        x: as in `int8_linear`, and so are the others.
        weight: INT8 [N, K].
        scale: FP32 [N].
        offset: INT32 [N] or None.
        bias: [N] or None.
        residual: FP16 [..., N] or None.
        out_scale: FP32 [1], the scale of the next layer's activation.
        out_zero: INT32 [1], its zero point.

    Returns:
        INT8 [..., N].
    """
    work = Work(x, weight, "int8_linear")
    return launch_linear(work, scale, offset, bias, residual=residual, grid=(out_scale, out_zero))


def _cpu_text_linear(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    first: Tensor | None,
) -> Tensor:
    result = _cpu_linear(x, weight, scale, offset, bias, None)
    if first is not None:
        result[:, 0] = first
    return result


@operator("int8_text_linear", cpu=_cpu_text_linear, shape=_half_like)
def int8_text_linear(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    first: Tensor | None,
) -> Tensor:
    """Keys and values of many cross-attentions at once: they depend on the text alone.

    The layers' weights lie one after another along N; since all read the same text, they share its
    quantizer. The first token's rows are the constants that were computed in full precision.

    Args:
        x: INT8 [B, T, K], all T tokens; what token 0 holds has no effect where `first` is given.
        weight: INT8 [N, K], the rows of all layers.
        scale: FP32 [N].
        offset: INT32 [N] or None.
        bias: [N] or None.
        first: FP16 [N], token 0's row of the result, or None.

    Returns:
        FP16 [B, T, N].
    """
    return launch_linear(Work(x, weight, "int8_text_linear"), scale, offset, bias, first=first)


@dataclass(frozen=True, slots=True)
class Work:
    """The product that a launch computes.

    Attributes:
        x: [..., K].
        weight: INT8 [N, K].
        operator: its name, by which tiles are found.
    """

    x: Tensor
    weight: Tensor
    operator: str

    @property
    def m(self) -> int:
        """Rows of the product."""
        return self.x.numel() // self.x.shape[-1]

    @property
    def n(self) -> int:
        """Columns of the product."""
        return self.weight.shape[0]

    @property
    def k(self) -> int:
        """Length of its sums."""
        return self.x.shape[-1]

    def tile(self) -> Tile:
        """How it is divided."""
        return configuration(self.operator, self.m, self.n, self.k)


def launch_linear(
    work: Work,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    *,
    residual: Tensor | None = None,
    first: Tensor | None = None,
    grid: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Launches the kernel; where a tile splits the sums, torch code ends them, which Inductor fuses on.

    With a grid, scale and zero point, the result is INT8.
    """
    tile = work.tile()
    shape = (*work.x.shape[:-1], work.n)
    if tile.splits > 1 and first is None:
        sums = launch_sums(work, tile).sum(0, dtype=torch.int32).reshape(shape)
        real = exact.dequantized(sums, scale, offset, bias, residual)
        return real.half() if grid is None else exact.quantized(real, *grid)
    tile = replace(tile, splits=1)
    out = torch.empty(shape, dtype=torch.float16 if grid is None else torch.int8, device=work.x.device)
    _launch(
        work,
        tile,
        [scale, offset, bias, residual, first, *(grid or (None, None)), out],
        FIRST_PERIOD=0 if first is None else work.x.shape[-2],
        TO_INT8=grid is not None,
        SUMS_ONLY=False,
    )
    return out


def launch_sums(work: Work, tile: Tile) -> Tensor:
    """The product's INT32 sums alone, in as many parts as the tile splits them into: [splits, M, N]."""
    planes = torch.empty((tile.splits, work.m, work.n), dtype=torch.int32, device=work.x.device)
    _launch(
        work,
        tile,
        [None, None, None, None, None, None, None, planes],
        FIRST_PERIOD=0,
        TO_INT8=False,
        SUMS_ONLY=True,
    )
    return planes


def _launch(work: Work, tile: Tile, tensors: list[Tensor | None], **options: Any) -> None:
    from mixdq.compiler.cuda.kernels.triton_linear import int8_linear_kernel

    kernel: Any = traced(int8_linear_kernel)
    # A kernel's absent tensors are never read; it takes the result's address in their place.
    out = tensors[-1]
    kernel[grid_of(work.m, work.n, tile)](
        work.x,
        work.weight,
        *(out if one is None else one for one in tensors),
        M=work.m,
        N=work.n,
        K=work.k,
        GROUP=tile.group,
        HAS_OFFSET=tensors[1] is not None,
        HAS_BIAS=tensors[2] is not None,
        HAS_RESIDUAL=tensors[3] is not None,
        EARLY=tile.early,
        BLOCK_M=tile.block_m,
        BLOCK_N=tile.block_n,
        BLOCK_K=tile.block_k,
        SPLITS=tile.splits,
        num_warps=tile.warps,
        num_stages=tile.stages,
        **options,
    )


def grid_of(m: int, n: int, tile: Tile) -> tuple[int, int]:
    """How many programs compute [m, n], times the splits of their sums."""
    return (-(-m // tile.block_m) * -(-n // tile.block_n), tile.splits)
