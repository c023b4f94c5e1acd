"""Normalizations: plain arithmetic before layers in FP16; a kernel that quantizes before INT8 ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixdq.compiler.cuda.kernels.group_norm import int8_group_norm, int8_group_norm_beside
from mixdq.compiler.cuda.kernels.layer_norm import int8_layer_norm
from mixdq.compiler.cuda.products import Product, Quantize

_Arguments: TypeAlias = tuple[Tensor, Tensor | None, Tensor, Tensor, int, float, bool, int, Tensor, Tensor]


class GroupNorm(nn.Module):
    """nn.GroupNorm over `[B, H, W, C]`, optionally with SiLU behind it; statistics in FP32."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, *, groups: int, eps: float, silu: bool) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.groups, self.eps, self.silu = groups, eps, silu

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalized pixels, of the same shape and type."""
        batch, height, width, channels = pixels.shape
        grouped = pixels.float().reshape(batch, height * width, self.groups, channels // self.groups)
        variance, mean = torch.var_mean(grouped, dim=(1, 3), correction=0, keepdim=True)
        normal = ((grouped - mean) * torch.rsqrt(variance + self.eps)).reshape(pixels.shape)
        scaled = normal * self.weight.float() + self.bias.float()
        return (functional.silu(scaled) if self.silu else scaled).to(pixels.dtype)

    def quantized(self, parts: tuple[Tensor, ...], grid: Quantize, border: int) -> Tensor:
        """Integers of the norm of one tensor or of two side by side, in a border of the zero point.

        Args:
            parts: FP16 `[B, H, W, C]`, or two whose channels add up to C.
            grid: of the layer that reads them.
            border: its width in pixels.
        """
        integers: Tensor = int8_group_norm(*self._arguments(parts, grid, border))
        return integers

    def quantized_beside(
        self, parts: tuple[Tensor, ...], grid: Quantize, border: int, grids: Sequence[Quantize]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The same, and the integers of each part itself, of a grid of its own."""
        first, last = grids[0], grids[-1]  # of one part the second is not read
        integers, *beside = int8_group_norm_beside(
            *self._arguments(parts, grid, border), first.scale, first.zero, last.scale, last.zero
        )
        return integers, tuple(beside[: len(parts)])

    def _arguments(self, parts: tuple[Tensor, ...], grid: Quantize, border: int) -> _Arguments:
        first, *others = parts
        second = others[0] if others else None
        settings = (self.groups, self.eps, self.silu, border)
        return (first, second, self.weight, self.bias, *settings, grid.scale, grid.zero)


class LayerNorm(nn.Module):
    """nn.LayerNorm over the last dimension."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, *, eps: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.eps = eps

    def forward(self, tokens: Tensor) -> Tensor:
        """Normalized tokens `[..., C]`, of the same type."""
        return functional.layer_norm(tokens, self.weight.shape, self.weight, self.bias, self.eps)

    def quantized(self, tokens: Tensor, grid: Quantize) -> Tensor:
        """Integers of the normalized tokens for a layer of that grid."""
        integers: Tensor = int8_layer_norm(tokens, self.weight, self.bias, self.eps, grid.scale, grid.zero)
        return integers

    def before(self, product: Product, tokens: Tensor) -> Tensor:
        """Normalized tokens in the form that a product takes."""
        return self(tokens) if product.grid is None else self.quantized(tokens, product.grid)
