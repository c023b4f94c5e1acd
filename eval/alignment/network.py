"""The dual encoder's two networks: a picture and a caption become directions in one space."""

from __future__ import annotations

import math

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from mixdq.configs.documents import STRICT

_GROUPS = 8
_FIRST_SCALE = 10.0
_LARGEST_SCALE = 60.0


@dataclass(frozen=True, slots=True, config=STRICT)
class Shape:
    """Sizes of the networks.

    Attributes:
        pixels: each side of the pictures that the image network sees.
        widths: channels of its stages; each stage halves the picture, as does its first convolution.
        depths: residual blocks of each stage.
        vocabulary: token ids of the text network.
        tokens: how many of a caption's tokens it reads at most, BOS and EOS included.
        text_width: its channels.
        text_layers: its transformer layers.
        text_heads: attention heads of each.
        embedding: length of the directions.
    """

    pixels: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    vocabulary: int
    tokens: int
    text_width: int
    text_layers: int
    text_heads: int
    embedding: int


class DualEncoder(nn.Module):
    """Both networks and the learned temperature of their similarities."""

    def __init__(self, shape: Shape) -> None:
        """Random weights, from torch's own generator."""
        super().__init__()
        self.image = ImageNetwork(shape)
        self.text = TextNetwork(shape)
        self.log_scale = nn.Parameter(torch.tensor(math.log(_FIRST_SCALE)))

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied with in the training's softmax: the inverse temperature."""
        return self.log_scale.exp().clamp(max=_LARGEST_SCALE)


class ImageNetwork(nn.Module):
    """A small residual network without running statistics: a picture's result is its own alone."""

    def __init__(self, shape: Shape) -> None:
        """Random weights."""
        super().__init__()
        first, last = shape.widths[0], shape.widths[-1]
        layers: list[nn.Module] = [nn.Conv2d(3, first, 5, stride=2, padding=2)]
        before = first
        for stage, (width, depth) in enumerate(zip(shape.widths, shape.depths, strict=True)):
            if stage:
                layers.append(nn.Conv2d(before, width, 3, stride=2, padding=1))
            layers += [_Block(width) for _ in range(depth)]
            before = width
        self.layers = nn.Sequential(*layers)
        self.norm = nn.GroupNorm(_GROUPS, last)
        self.project = nn.Linear(2 * last, shape.embedding)

    def forward(self, pictures: Tensor) -> Tensor:
        """Unit vectors `[picture, embedding]` of `[picture, 3, pixels, pixels]` in [-1, 1]."""
        features = functional.gelu(self.norm(self.layers(pictures)))
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        return functional.normalize(self.project(pooled).float(), dim=-1)


class TextNetwork(nn.Module):
    """A small transformer that reads a caption in both directions."""

    def __init__(self, shape: Shape) -> None:
        """Random weights."""
        super().__init__()
        width = shape.text_width
        self.embed = nn.Embedding(shape.vocabulary, width)
        self.place = nn.Parameter(torch.zeros(shape.tokens, width))
        self.layers = nn.ModuleList(_Layer(width, shape.text_heads) for _ in range(shape.text_layers))
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, shape.embedding)
        nn.init.normal_(self.embed.weight, std=0.5)

    def forward(self, ids: Tensor, present: Tensor) -> Tensor:
        """Unit vectors `[caption, embedding]` of token ids `[caption, tokens]`.

        Args:
            ids: token ids.
            present: true where a token counts, of the same form; false for padding.
        """
        states = self.embed(ids) + self.place[: ids.shape[1]]
        mask = present[:, None, None, :]
        for layer in self.layers:
            states = layer(states, mask)
        weights = present.unsqueeze(-1).to(states.dtype)
        mean = (self.norm(states) * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        return functional.normalize(self.project(mean).float(), dim=-1)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.GroupNorm(_GROUPS, width), nn.GroupNorm(_GROUPS, width)
        self.conv_1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, states: Tensor) -> Tensor:
        inner = self.conv_1(functional.gelu(self.norm_1(states)))
        out: Tensor = states + self.conv_2(functional.gelu(self.norm_2(inner)))
        return out


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix_in, self.mix_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        parts = self.mix_in(self.norm_1(states)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        states = states + self.mix_out(mixed.transpose(1, 2).flatten(2))
        out: Tensor = states + self.narrow(functional.gelu(self.wide(self.norm_2(states))))
        return out
