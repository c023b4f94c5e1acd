"""The UNet's resnets over `[B, H, W, C]`: norm, SiLU and quantization go together, sums are an epilogue."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixdq.compiler.cuda.convolutions import Convolution, Int8Convolution
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
        shift = shifts[self.shift].contiguous()
        products = [product for product in self.shortcut if isinstance(product, Product)]
        grids = [product.grid for product in products if product.grid is not None]
        if isinstance(self.conv1, Int8Convolution) and len(grids) == len(products) == len(parts):
            # The norm reads all that the shortcut does, and quantizes it along the way.
            conv = self.conv1
            activation, inputs = self.norm1.quantized_beside(parts, conv.grid, conv.padding, grids)
            residual = _summed(products, inputs)
            hidden = conv.of_bordered(activation, None, shift)
        else:
            read = parts if len(products) == len(parts) else (pixels,) * len(products)
            inputs = tuple(product.quantize(x) for product, x in zip(products, read, strict=True))
            residual = _summed(products, inputs)
            hidden = self.conv1.of_norm(self.norm1, parts, pixels, None, shift)
        return self.conv2.of_norm(self.norm2, (hidden,), hidden, pixels if residual is None else residual)


def _summed(products: Sequence[Product], inputs: Sequence[Tensor]) -> Tensor | None:
    """The sum of products of what each takes; None without any."""
    total: Tensor | None = None
    for product, activation in zip(products, inputs, strict=True):
        total = product(activation, total)
    return total
