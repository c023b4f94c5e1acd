"""Convolutions over `[B, H, W, C]` in the forms that the CUDA back end runs."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from mixdq.compiler.cuda.forms import InputGrid
from mixdq.compiler.cuda.kernels.convolution import int8_conv2d, w8a16_conv2d
from mixdq.compiler.cuda.kernels.packing import row_offsets
from mixdq.compiler.cuda.norms import GroupNorm
from mixdq.compiler.cuda.products import Quantize


class Convolution(nn.Module):
    """A convolution with a bias, and what else its kernel adds; weights are `[N, R, S, C]`.

    Attributes:
        grid: what quantizes the input; None where it stays FP16.
    """

    grid: Quantize | None
    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        *,
        stride: int,
        padding: int,
        grid: Quantize | None = None,
    ) -> None:
        """Takes a weight as diffusers orders it, `[N, C, R, S]`."""
        super().__init__()
        self.grid = grid
        self.register_buffer("weight", weight.permute(0, 2, 3, 1).contiguous())
        self.register_buffer("bias", bias)
        self.stride, self.padding = stride, padding

    def quantize(self, activation: Tensor) -> Tensor:
        """The form of an FP16 activation that `forward` takes."""
        return activation if self.grid is None else self.grid(activation)

    def forward(
        self, activation: Tensor, residual: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        """The convolution in FP16, `[B, H', W', N]`.

        Args:
            activation: `[B, H, W, C]`, as `quantize` gives it.
            residual: `[B, H', W', N]`, added.
            shift: `[B, N]`, added to every pixel: the time embedding.
        """
        raise NotImplementedError

    def of_norm(
        self,
        norm: GroupNorm,
        parts: tuple[Tensor, ...],
        pixels: Tensor,
        residual: Tensor | None = None,
        shift: Tensor | None = None,
    ) -> Tensor:
        """The convolution of normalized pixels, given whole and in the parts that they consist of."""
        convolved: Tensor = self(norm(pixels), residual, shift)
        return convolved


class HalfConvolution(Convolution):
    """A convolution in FP16: cuDNN's, on channels-last views."""

    def forward(
        self, activation: Tensor, residual: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        """See `Convolution.forward`."""
        images, weight = activation.permute(0, 3, 1, 2), self.weight.permute(0, 3, 1, 2)
        pixels = functional.conv2d(images, weight, self.bias, self.stride, self.padding).permute(0, 2, 3, 1)
        if shift is not None:
            pixels = pixels + shift[:, None, None]
        return pixels if residual is None else pixels + residual


class Int8Convolution(Convolution):
    """W8A8: the border is padded with the zero point, so that it means 0 and the offset is one a channel."""

    scale: Tensor
    offset: Tensor | None
    grid: Quantize

    def __init__(
        self,
        numbers: Tensor,
        scales: Tensor,
        bias: Tensor | None,
        grid: InputGrid,
        *,
        stride: int,
        padding: int,
    ) -> None:
        """Takes INT8 `[N, C, R, S]`, FP32 scales `[N]`, an FP16 bias `[N]`, the input's grid."""
        quantize = Quantize(grid, numbers.device)
        super().__init__(numbers, bias, stride=stride, padding=padding, grid=quantize)
        self.register_buffer("scale", scales * grid.scale)
        self.register_buffer("offset", row_offsets(numbers, grid.zero))

    def forward(
        self, activation: Tensor, residual: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        """See `Convolution.forward`."""
        return self._convolved(activation, residual, shift, self.padding)

    def of_norm(
        self,
        norm: GroupNorm,
        parts: tuple[Tensor, ...],
        pixels: Tensor,
        residual: Tensor | None = None,
        shift: Tensor | None = None,
    ) -> Tensor:
        """See `Convolution.of_norm`; the norm's kernel reads the parts, and makes the border."""
        return self.of_bordered(norm.quantized(parts, self.grid, self.padding), residual, shift)

    def of_bordered(
        self, activation: Tensor, residual: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        """The convolution of integers that have a border of `padding` zero points already."""
        return self._convolved(activation, residual, shift, 0)

    def _convolved(
        self, activation: Tensor, residual: Tensor | None, shift: Tensor | None, padding: int
    ) -> Tensor:
        pixels: Tensor = int8_conv2d(
            activation,
            self.grid.zero,
            self.weight,
            self.scale,
            self.offset,
            self.bias,
            shift,
            residual,
            self.stride,
            padding,
        )
        return pixels


class Int8WeightConvolution(Convolution):
    """W8A16: an INT8 weight, a scale a channel; FP16 arithmetic."""

    scale: Tensor

    def __init__(
        self, numbers: Tensor, scales: Tensor, bias: Tensor | None, *, stride: int, padding: int
    ) -> None:
        """Takes INT8 `[N, C, R, S]`, FP32 scales `[N]`, an FP16 bias `[N]`."""
        super().__init__(numbers, bias, stride=stride, padding=padding)
        self.register_buffer("scale", scales)

    def forward(
        self, activation: Tensor, residual: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        """See `Convolution.forward`."""
        pixels: Tensor = w8a16_conv2d(
            activation, self.weight, self.scale, self.bias, shift, residual, self.stride, self.padding
        )
        return pixels
