"""Convolutions, channels last: `mixdq::int8_conv2d`, and `w8a16_conv2d` for a layer with FP16 activations.

A convolution of one tap is a linear layer (`int8_linear` on the pixels). The border of an input holds the
zero point, the integer that stands for 0, so `offset` is the same for every pixel; the border is made by
torch code that Inductor fuses with what produces the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixdq.compiler.cuda.kernels import exact
from mixdq.compiler.cuda.kernels.linear import grid_of
from mixdq.compiler.cuda.kernels.register import operator, traced
from mixdq.compiler.cuda.kernels.tiles import Tile, configuration


def _extent(size: int, taps: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - taps) // stride + 1


def _empty(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    batch, height, width, _ = x.shape
    channels, taps = weight.shape[:2]
    shape = (
        batch,
        _extent(height, taps, stride, padding),
        _extent(width, taps, stride, padding),
        channels,
    )
    return x.new_empty(shape, dtype=torch.float16)


def _cpu_int8(
    x: Tensor,
    zero: Tensor,
    weight: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    channel_bias: Tensor | None,
    residual: Tensor | None,
    stride: int,
    padding: int,
) -> Tensor:
    sums = exact.convolution(exact.padded(x, padding, zero), weight, stride)
    added = None if channel_bias is None else channel_bias[:, None, None, :]
    return exact.dequantized(sums, scale, offset, bias, added, residual).half()


def _shape_int8(x: Tensor, zero: Tensor, weight: Tensor, *others: Any) -> Tensor:
    return _empty(x, weight, others[-2], others[-1])


@operator("int8_conv2d", cpu=_cpu_int8, shape=_shape_int8)
def int8_conv2d(
    x: Tensor,
    zero: Tensor,
    weight: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    channel_bias: Tensor | None,
    residual: Tensor | None,
    stride: int,
    padding: int,
) -> Tensor:
    """A convolution of quantized activations.

    Args:
        x: INT8 [B, H, W, C].
        zero: INT32 [1], the zero point, which fills the border.
        weight: INT8 [N, R, R, C].
        scale: FP32 [N].
        offset: INT32 [N], -zero * (sums of the weight over R, R, C); None for a zero point of 0.
        bias: FP16 or FP32 [N], or None.
        channel_bias: FP16 [B, N] that is added to every pixel (the time embedding), or None.
        residual: FP16 [B, H', W', N] that is added, or None.
        stride: 1 or 2.
        padding: the border's width; 0 if `x` has its border already.

    Returns:
        FP16 [B, H', W', N].
    """
    bordered = exact.padded(x, padding, zero).contiguous()
    work = Window(bordered, weight, stride, "int8_conv2d")
    return launch_convolution(work, scale, offset, bias, channel_bias, residual)


def _cpu_w8a16(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    channel_bias: Tensor | None,
    residual: Tensor | None,
    stride: int,
    padding: int,
) -> Tensor:
    image = x.permute(0, 3, 1, 2).float()
    filters = weight.permute(0, 3, 1, 2).float()
    sums = functional.conv2d(image, filters, stride=stride, padding=padding).permute(0, 2, 3, 1)
    added = None if channel_bias is None else channel_bias[:, None, None, :]
    return exact.dequantized(sums, scale, None, bias, added, residual).half().contiguous()


def _shape_w8a16(x: Tensor, weight: Tensor, *others: Any) -> Tensor:
    return _empty(x, weight, others[-2], others[-1])


@operator("w8a16_conv2d", cpu=_cpu_w8a16, shape=_shape_w8a16)
def w8a16_conv2d(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    channel_bias: Tensor | None,
    residual: Tensor | None,
    stride: int,
    padding: int,
) -> Tensor:
    """A convolution of FP16 activations [B, H, W, C] and INT8 weights, which become FP16 on their way.

    `scale` [N] is the weight's, in FP32 or FP16; the other arguments are those of `int8_conv2d`.
    """
    bordered = functional.pad(x, (0, 0, padding, padding, padding, padding)) if padding else x
    work = Window(bordered.contiguous(), weight, stride, "w8a16_conv2d")
    return launch_convolution(work, scale, None, bias, channel_bias, residual)


@dataclass(frozen=True, slots=True)
class Window:
    """The convolution that a launch computes.

    Attributes:
        x: [B, H, W, C] with its border.
        weight: INT8 [N, R, R, C].
        stride: pixels between windows.
        operator: its name, by which tiles are found.
    """

    x: Tensor
    weight: Tensor
    stride: int
    operator: str

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        """[B, H', W', N]."""
        batch, height, width, _ = self.x.shape
        channels, taps = self.weight.shape[:2]
        return (
            batch,
            _extent(height, taps, self.stride, 0),
            _extent(width, taps, self.stride, 0),
            channels,
        )

    @property
    def m(self) -> int:
        """Pixels of the result, in all images."""
        batch, height, width, _ = self.out_shape
        return batch * height * width

    def tile(self) -> Tile:
        """How it is divided."""
        return configuration(self.operator, self.m, self.weight.shape[0], self.weight[0].numel())


def launch_convolution(
    work: Window,
    scale: Tensor,
    offset: Tensor | None,
    bias: Tensor | None,
    channel_bias: Tensor | None,
    residual: Tensor | None,
) -> Tensor:
    """Launches the kernel; where a tile splits the sums, torch code ends them, which Inductor fuses on."""
    tile = work.tile()
    if tile.splits > 1:
        planes = launch_window_sums(work, tile)
        sums = planes.sum(0, dtype=planes.dtype).reshape(work.out_shape)
        added = None if channel_bias is None else channel_bias[:, None, None, :]
        return exact.dequantized(sums, scale, offset, bias, added, residual).half()
    out = torch.empty(work.out_shape, dtype=torch.float16, device=work.x.device)
    _launch(work, tile, [scale, offset, bias, residual, channel_bias, out], sums_only=False)
    return out


def launch_window_sums(work: Window, tile: Tile) -> Tensor:
    """The sums alone, INT32 of INT8 images else FP32, in the parts that the tile makes: [splits, M, N]."""
    dtype = torch.int32 if work.x.dtype == torch.int8 else torch.float32
    planes = torch.empty((tile.splits, work.m, work.weight.shape[0]), dtype=dtype, device=work.x.device)
    _launch(work, tile, [None, None, None, None, None, planes], sums_only=True)
    return planes


def _launch(work: Window, tile: Tile, tensors: list[Tensor | None], *, sums_only: bool) -> None:
    from mixdq.compiler.cuda.kernels.triton_convolution import convolution_kernel

    _, height, width, channels = work.x.shape
    _, out_height, out_width, out_channels = work.out_shape
    # A kernel's absent tensors are never read; it takes the result's address in their place.
    out = tensors[-1]
    kernel: Any = traced(convolution_kernel)
    kernel[grid_of(work.m, out_channels, tile)](
        work.x,
        work.weight,
        *(out if one is None else one for one in tensors),
        M=work.m,
        N=out_channels,
        HEIGHT=height,
        WIDTH=width,
        OUT_HEIGHT=out_height,
        OUT_WIDTH=out_width,
        GROUP=tile.group,
        C=channels,
        TAPS=work.weight.shape[1],
        STRIDE=work.stride,
        HAS_OFFSET=tensors[1] is not None,
        HAS_BIAS=tensors[2] is not None,
        HAS_RESIDUAL=tensors[3] is not None,
        HAS_CHANNEL_BIAS=tensors[4] is not None,
        INTEGER=work.x.dtype == torch.int8,
        SUMS_ONLY=sums_only,
        EARLY=tile.early,
        BLOCK_M=tile.block_m,
        BLOCK_N=tile.block_n,
        BLOCK_K=tile.block_k,
        SPLITS=tile.splits,
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
