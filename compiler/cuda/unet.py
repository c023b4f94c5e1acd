"""SDXL's UNet for inference under a plan: what is exported and compiled for the CUDA back end.

It computes what diffusers' `UNet2DConditionModel` does, with images as `[B, H, W, C]` throughout, layers that
read one tensor as one product, and every sum in the epilogue of a product.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixdq.compiler.cuda.convolutions import Convolution
from mixdq.compiler.cuda.fans import Fan, TextFan
from mixdq.compiler.cuda.norms import GroupNorm
from mixdq.compiler.cuda.products import Product
from mixdq.compiler.cuda.resnet import Resnet
from mixdq.compiler.cuda.transformer import TextPair, Transformer


class Unet(nn.Module):
    """Predicted noise of a noisy latent image; inputs and output are the runtime's contract."""

    def __init__(
        self,
        time: TimeEmbedding,
        shifts: Fan,
        text: TextFan,
        conv_in: Convolution,
        down: Sequence[DownBlock],
        middle: Steps,
        up: Sequence[UpBlock],
        norm_out: GroupNorm,
        conv_out: Convolution,
    ) -> None:
        super().__init__()
        self.time, self.shifts, self.text = time, shifts, text
        self.conv_in, self.conv_out, self.norm_out = conv_in, conv_out, norm_out
        self.down, self.middle, self.up = nn.ModuleList(down), middle, nn.ModuleList(up)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        text_embeds: Tensor,
        time_ids: Tensor,
    ) -> Tensor:
        """Predicted noise `[B, 4, h, w]` of the scaled latents `[B, 4, h, w]`."""
        shifts = self.shifts(functional.silu(self.time(sample, timestep, text_embeds, time_ids)))
        flat = self.text(encoder_hidden_states)
        text = list(zip(flat[::2], flat[1::2], strict=True))
        pixels = self.conv_in(self.conv_in.quantize(sample.permute(0, 2, 3, 1).contiguous()))
        skips = [pixels]
        for down in self.down:
            pixels = down(pixels, skips, shifts, text)
        pixels = self.middle(pixels, shifts, text)
        for up in self.up:
            pixels = up(pixels, skips, shifts, text)
        noise: Tensor = self.conv_out.of_norm(self.norm_out, (pixels,), pixels)
        return noise.permute(0, 3, 1, 2).contiguous()


class TimeEmbedding(nn.Module):
    """SDXL's embedding of the timestep, the pooled text and the sizes, `[B, C]`."""

    def __init__(
        self,
        time_proj: nn.Module,
        add_time_proj: nn.Module,
        time: tuple[Product, Product],
        added: tuple[Product, Product],
    ) -> None:
        """Takes diffusers' sinusoidal modules, which hold no weights, and both pairs of linear layers."""
        super().__init__()
        self.time_proj, self.add_time_proj = time_proj, add_time_proj
        self.time_1, self.time_2 = time
        self.added_1, self.added_2 = added

    def forward(self, sample: Tensor, timestep: Tensor, text_embeds: Tensor, time_ids: Tensor) -> Tensor:
        """The embedding, without the SiLU that every resnet applies."""
        batch, dtype = sample.shape[0], sample.dtype
        step = self.time_proj(timestep.reshape(1).expand(batch)).to(dtype)
        sizes = self.add_time_proj(time_ids.flatten()).reshape(batch, -1).to(dtype)
        added = torch.cat([text_embeds, sizes], dim=-1)
        return _perceptron(step, self.time_1, self.time_2) + _perceptron(added, self.added_1, self.added_2)


class Steps(nn.Module):
    """Resnets and transformers, one after another."""

    def __init__(self, steps: Sequence[Resnet | Transformer]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, pixels: Tensor, shifts: Sequence[Tensor], text: Sequence[TextPair]) -> Tensor:
        """`[B, H, W, C]` to the same height and width."""
        for step in self.steps:
            pixels = step(pixels, text) if isinstance(step, Transformer) else step((pixels,), shifts)
        return pixels


class DownBlock(nn.Module):
    """Steps whose outputs are kept for the way up, then a convolution of stride 2."""

    def __init__(self, steps: Sequence[Steps], shrink: Convolution | None) -> None:
        super().__init__()
        self.steps, self.shrink = nn.ModuleList(steps), shrink

    def forward(
        self, pixels: Tensor, skips: list[Tensor], shifts: Sequence[Tensor], text: Sequence[TextPair]
    ) -> Tensor:
        """Appends each step's output to `skips`, and the block's."""
        for step in self.steps:
            pixels = step(pixels, shifts, text)
            skips.append(pixels)
        if self.shrink is not None:
            pixels = self.shrink(self.shrink.quantize(pixels))
            skips.append(pixels)
        return pixels


class UpBlock(nn.Module):
    """Resnets that read what is below beside what was kept, each with its transformer; then doubled."""

    def __init__(
        self, resnets: Sequence[Resnet], transformers: Sequence[Transformer], grow: Convolution | None
    ) -> None:
        """Takes the parts; no transformers, or one a resnet."""
        super().__init__()
        self.resnets, self.transformers = nn.ModuleList(resnets), nn.ModuleList(transformers)
        self.grow = grow

    def forward(
        self, pixels: Tensor, skips: list[Tensor], shifts: Sequence[Tensor], text: Sequence[TextPair]
    ) -> Tensor:
        """Takes its tensors from the end of `skips`."""
        for index, resnet in enumerate(self.resnets):
            pixels = resnet((pixels, skips.pop()), shifts)
            if len(self.transformers):
                pixels = self.transformers[index](pixels, text)
        return pixels if self.grow is None else self.grow(_doubled(self.grow.quantize(pixels)))


def _perceptron(activation: Tensor, first: Product, second: Product) -> Tensor:
    hidden = functional.silu(first(first.quantize(activation)))
    result: Tensor = second(second.quantize(hidden))
    return result


def _doubled(pixels: Tensor) -> Tensor:
    """Every pixel four times: nearest-neighbour interpolation."""
    batch, height, width, channels = pixels.shape
    spread = pixels[:, :, None, :, None].expand(batch, height, 2, width, 2, channels)
    return spread.reshape(batch, 2 * height, 2 * width, channels)
