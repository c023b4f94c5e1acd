"""How far tensors are from what full precision gives, picture by picture; more is better of each."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mixdq.configs.sqnr import IDENTICAL_DB

_C1, _C2 = 0.01**2, 0.03**2  # Wang et al.'s, for values of 0 to 1
_RADIUS, _SIGMA = 5, 1.5  # of their sliding window, in pixels


def sqnr_db(found: Tensor, expected: Tensor) -> Tensor:
    """Signal-to-quantization-noise ratio in decibels, `[B]` in FP64; see `mixdq.configs.sqnr`.

    Args:
        found: `[B, ...]`.
        expected: the same shape.
    """
    wanted = expected.double().flatten(1)
    noise = ((found.double().flatten(1) - wanted) ** 2).sum(1)
    ratio = 10 * torch.log10((wanted**2).sum(1) / noise)
    return torch.where(noise == 0, torch.full_like(ratio, IDENTICAL_DB), ratio)


def psnr_db(found: Tensor, expected: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pictures with values of 0 to 1, in decibels, `[B]` in FP64."""
    error = ((found.double() - expected.double()) ** 2).flatten(1).mean(1)
    ratio = -10 * torch.log10(error)
    return torch.where(error == 0, torch.full_like(ratio, IDENTICAL_DB), ratio)


def whole_ssim(found: Tensor, expected: Tensor) -> Tensor:
    """Structural similarity with one window, the whole picture, mean over the channels, `[B]` in FP64.

    MixDQ's equation 1 with alpha = beta = gamma = 1, with the unbiased (co)variances.

    Args:
        found: pictures `[B, C, H, W]` with values of 0 to 1.
        expected: the same shape.
    """
    ours, theirs = found.double().flatten(2), expected.double().flatten(2)
    mx, my = ours.mean(2), theirs.mean(2)
    dx, dy = ours - mx[..., None], theirs - my[..., None]
    count = ours.shape[2] - 1
    vx, vy, vxy = (dx * dx).sum(2) / count, (dy * dy).sum(2) / count, (dx * dy).sum(2) / count
    values = (2 * mx * my + _C1) * (2 * vxy + _C2) / ((mx**2 + my**2 + _C1) * (vx + vy + _C2))
    return values.mean(1)


def windowed_ssim(found: Tensor, expected: Tensor) -> Tensor:
    """Structural similarity with a sliding Gaussian window of 11 pixels (Wang et al. 2004), `[B]` in FP64.

    The mean over all pixels and channels, computed in FP32; pictures are mirrored at their edges.

    Args:
        found: pictures `[B, C, H, W]` with values of 0 to 1, at least 6 pixels a side.
        expected: the same shape.
    """
    sides = (_RADIUS,) * 4
    ours = functional.pad(found.float(), sides, mode="reflect")
    theirs = functional.pad(expected.float(), sides, mode="reflect")
    moments = torch.cat((ours, theirs, ours * ours, theirs * theirs, ours * theirs))
    mx, my, xx, yy, xy = _blurred(moments).chunk(5)
    vx, vy, vxy = (xx - mx * mx).clamp(min=0), (yy - my * my).clamp(min=0), xy - mx * my
    values = (2 * mx * my + _C1) * (2 * vxy + _C2) / ((mx * mx + my * my + _C1) * (vx + vy + _C2))
    return values.flatten(1).double().mean(1)


def _blurred(values: Tensor) -> Tensor:
    """`[..., H, W]` through the Gaussian window, where all of it is inside: `[..., H - 10, W - 10]`.

    Sums of shifted copies: convolutions with one channel are many times slower on a CPU.
    """
    offsets = torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float64)
    window = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights = (window / window.sum()).tolist()
    for dimension in (-2, -1):
        length = values.shape[dimension] - 2 * _RADIUS
        total = values.narrow(dimension, 0, length) * weights[0]
        for shift, weight in enumerate(weights[1:], start=1):
            total.add_(values.narrow(dimension, shift, length), alpha=weight)
        values = total
    return values
