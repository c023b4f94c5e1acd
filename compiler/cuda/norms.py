"""Normalizations in plain arithmetic, so that what follows them becomes part of their kernels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


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
