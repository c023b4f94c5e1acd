"""Pictures changed at random, as training sees them: moved, turned, tinted, blurred, coarse, noisy, cut."""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 8
# Mirrored, these would show something else than they are called.
_SIDED = re.compile(
    r"left|right|clock|o'clock|-thirty|next|last|fast|reverse|button|mark|keycap|letter|symbol|input|moon|"
    r"quarter|arrow|medal|100|atm|sign|back|end|soon|top|on!|note|play|turn|curl|chart"
)


def can_mirror(label: str) -> bool:
    """Whether the mirrored picture may have the same label: it names no side, and shows no writing."""
    return _SIDED.search(label) is None


def vary(pictures: Tensor, mirror: Tensor, pixels: int, random: torch.Generator) -> Tensor:
    """Random variations.

    Args:
        pictures: `[picture, height, width, 3]` RGB bytes over white.
        mirror: true for each that may be mirrored.
        pixels: each side of the result.
        random: on the pictures' device.

    Returns:
        `[picture, 3, pixels, pixels]` in [-1, 1].
    """
    # Ink, the distance from white: what lies beyond the edge is zero.
    ink = 1.0 - pictures.permute(0, 3, 1, 2).float() / 255.0
    draw = _Draw(len(ink), ink.device, random)
    ink = _moved(ink, mirror, pixels, draw)
    ink = _cut(_blurred(ink, draw), draw)
    varied = _tinted(1.0 - 2.0 * ink, draw)
    varied = _coarse(varied, draw) + _noise(varied, draw)
    return varied.clamp(-1.0, 1.0)


class _Draw:
    """One uniform number a picture, from a generator."""

    def __init__(self, count: int, device: torch.device, random: torch.Generator) -> None:
        self.count, self.device, self.random = count, device, random

    def between(self, low: float, high: float, *form: int) -> Tensor:
        shape = (self.count, *form)
        return low + (high - low) * torch.rand(shape, generator=self.random, device=self.device)

    def sometimes(self, chance: float, high: float) -> Tensor:
        """Between 0 and `high` with that chance, else 0; `[picture, 1, 1, 1]`."""
        return self.between(0, high, 1, 1, 1) * (self.between(0, 1, 1, 1, 1) < chance)


def _moved(ink: Tensor, mirror: Tensor, pixels: int, draw: _Draw) -> Tensor:
    angle = draw.between(-0.26, 0.26)
    width, height = (draw.between(-0.22, 0.22).exp() * draw.between(0.95, 1.05) for _ in range(2))
    both = draw.between(-0.2, 0.15).exp()
    sign = 1.0 - 2.0 * (mirror & (draw.between(0, 1) < 0.5)).float()
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = (cos * width * both * sign, -sin * height * both, draw.between(-0.15, 0.15))
    more = (sin * width * both * sign, cos * height * both, draw.between(-0.15, 0.15))
    theta = torch.stack([torch.stack(rows, dim=1), torch.stack(more, dim=1)], dim=1)
    grid = functional.affine_grid(theta, [len(ink), 3, pixels, pixels], align_corners=False)
    return functional.grid_sample(ink, grid, padding_mode="zeros", align_corners=False)


def _blurred(ink: Tensor, draw: _Draw) -> Tensor:
    for _ in range(2):
        soft = functional.avg_pool2d(ink, 3, stride=1, padding=1)
        ink = ink + draw.sometimes(0.5, 1.0) * (soft - ink)
    return ink


def _cut(ink: Tensor, draw: _Draw) -> Tensor:
    """A rectangle, up to 0.4 of each side, becomes white in one picture of four."""
    place = torch.arange(ink.shape[-1], device=ink.device) / ink.shape[-1]
    inside = []
    for _ in range(2):
        middle, half = draw.between(0, 1, 1), draw.between(0.05, 0.2, 1)
        inside.append((place[None] - middle).abs() < half)
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return ink * ~(hole & (draw.between(0, 1, 1, 1, 1) < 0.25))


def _tinted(pictures: Tensor, draw: _Draw) -> Tensor:
    """Brightness, contrast and saturation; the hue turns by 6 degrees at most, since labels name colours."""
    grey = pictures.mean(dim=1, keepdim=True)
    pictures = grey + draw.between(0.6, 1.4, 1, 1, 1) * (pictures - grey)
    # Rotation about the grey axis (Rodrigues), for a small angle.
    turn = draw.between(-0.1, 0.1, 1, 1, 1) / math.sqrt(3)
    red, green, blue = pictures.chunk(3, dim=1)
    pictures = pictures + turn * torch.cat([blue - green, red - blue, green - red], dim=1)
    return pictures * draw.between(0.8, 1.15, 1, 1, 1) + draw.between(-0.15, 0.1, 1, 1, 1)


def _coarse(pictures: Tensor, draw: _Draw) -> Tensor:
    """JPEG's loss: cosines of 8 x 8 blocks, rounded, the finer ones more coarsely."""
    places = torch.arange(_BLOCK, device=pictures.device)
    cosines = torch.cos(math.pi / _BLOCK * (places[None] + 0.5) * places[:, None]) * math.sqrt(2 / _BLOCK)
    cosines[0] /= math.sqrt(2)
    count, channels, height, width = pictures.shape
    blocks = pictures.view(count, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    waves = torch.einsum("ui,bcyixj,vj->bcyxuv", cosines, blocks, cosines)
    steps = 0.02 + draw.sometimes(0.5, 0.25)[..., None, None] * (1 + places[:, None] + places[None])
    back = torch.einsum("ui,bcyxuv,vj->bcyixj", cosines, (waves / steps).round() * steps, cosines)
    return back.reshape(pictures.shape)


def _noise(pictures: Tensor, draw: _Draw) -> Tensor:
    """Fine noise, and noise in cells of eight pixels, as an error in emoji-turbo's latents gives."""
    side = pictures.shape[-1]
    fine = torch.randn(pictures.shape, generator=draw.random, device=draw.device)
    cells = torch.randn((draw.count, 3, side // 8, side // 8), generator=draw.random, device=draw.device)
    wide = functional.interpolate(cells, scale_factor=8, mode="bilinear")
    return draw.sometimes(0.5, 0.12) * fine + draw.sometimes(0.4, 0.15) * wide
