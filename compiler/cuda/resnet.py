"""The UNet's resnets over `[B, H, W, C]`: norm, SiLU and quantization go together, sums are an epilogue."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixdq.compiler.cuda.convolutions import Convolution
from mixdq.compiler.cuda.norms import GroupNorm
from mixdq.compiler.cuda.products import Product


class Resnet(nn.Module):
    """Two convolutions and a shortcut; the time embedding is added to the first one's output."""

    def __init__(
        self,
        norm1: GroupNorm,
        conv1: Convolution,
        norm2: GroupNorm,
        conv2: Convolution,
        shortcut: Sequence[Product],
        *,
        shift: int,
    ) -> None:
        """Takes the parts.

        Args:
            norm1: with SiLU.
            conv1: 3x3.
            norm2: with SiLU.
            conv2: 3x3.
            shortcut: none where the input has the output's channels; one product; or two, for an input that
                is quantized in two halves, which are then never put side by side for it.
            shift: the place of this resnet's among the time embedding's projections.
        """
        super().__init__()
        self.norm1, self.conv1, self.norm2, self.conv2 = norm1, conv1, norm2, conv2
        self.shortcut = nn.ModuleList(shortcut)
        self.shift = shift

    def forward(self, parts: tuple[Tensor, ...], shifts: Sequence[Tensor]) -> Tensor:
        """From the input, or the two that an up-block puts side by side, to `[B, H, W, N]`."""
        pixels = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        residual = self._shortcut(pixels, parts)
        hidden = self.conv1.of_norm(self.norm1, parts, pixels, None, shifts[self.shift].contiguous())
        return self.conv2.of_norm(self.norm2, (hidden,), hidden, residual)

    def _shortcut(self, pixels: Tensor, parts: tuple[Tensor, ...]) -> Tensor:
        if len(self.shortcut) == 0:
            return pixels
        if len(self.shortcut) == 1:
            product = self.shortcut[0]
            assert isinstance(product, Product)
            whole: Tensor = product(product.quantize(pixels))
            return whole
        first, second = self.shortcut
        assert isinstance(first, Product)
        assert isinstance(second, Product)
        return second.of_half(parts[1], first.of_half(parts[0]))
