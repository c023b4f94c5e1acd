"""How far tensors are from what full precision gives, picture by picture; more is better of each."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from mixdq.configs.sqnr import IDENTICAL_DB

_C1, _C2 = 0.01**2, 0.03**2  # Wang et al.'s, for values of 0 to 1


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
    """Structural similarity with a sliding Gaussian window of 11 pixels (Wang et al. 2004), `[B]` in FP64."""
    values = structural_similarity_index_measure(
        found.float(), expected.float(), data_range=1.0, reduction="none"
    )
    assert isinstance(values, Tensor)
    return values.double().reshape(len(found))
