"""FID and KID: how far the features of one set of pictures are from those of another."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixdq.configs.errors import EvaluationError
from mixdq.eval.quality.features import Features

_ROWS = 1024
"""Of the kernel's matrix, held at a time."""


def fid(reference: Features, generated: Features) -> float:
    """Fréchet distance of the Gaussians of two sets of features (Heusel et al. 2017).

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), with unbiased covariances. With centred features X of n
    rows and X = Q R, S = R' R / (n - 1), so the last trace is the sum of the singular values of R1 R2' over
    the square root of (n1 - 1)(n2 - 1). That is ten times as fast as the eigenvalues of S1 S2, which
    torchmetrics takes, and exact to rounding, where the root of an eigenvalue that should be 0 has an error
    of 1e-8.

    Raises:
        EvaluationError: fewer than two pictures in a set.
    """
    if min(len(reference), len(generated)) < 2:
        raise EvaluationError("FID needs a covariance, so at least two pictures of each set; draw more")
    ours, theirs = _gaussian(reference), _gaussian(generated)
    cross = torch.linalg.svdvals(ours.root @ theirs.root.T).sum()
    shift = (ours.mean - theirs.mean).square().sum()
    return float(shift + ours.root.square().sum() + theirs.root.square().sum() - 2 * cross)


def spread(features: Features) -> float:
    """The trace of S, the total variance, against which an FID of a set with itself is small."""
    return float(features.var(axis=0, ddof=1).sum())


def kid(reference: Features, generated: Features) -> float:
    """Kernel distance: the unbiased squared MMD with the kernel (x'y / width + 1)^3 (Binkowski et al. 2018).

    Over all pictures: random subsets, as torchmetrics and clean-fid take them, have the same mean and more
    spread. It may be below 0, since the estimate has no bias.

    Raises:
        EvaluationError: fewer than two pictures in a set.
    """
    if min(len(reference), len(generated)) < 2:
        raise EvaluationError("KID needs at least two pictures of each set; draw more")
    ours, theirs = (torch.from_numpy(np.ascontiguousarray(rows)) for rows in (reference, generated))
    within = _mean_within(ours) + _mean_within(theirs)
    return within - 2 * _kernel_sum(ours, theirs) / (len(ours) * len(theirs))


def _mean_within(rows: Tensor) -> float:
    """Of the kernel over all pairs of different rows."""
    itself = float(_cube(rows.square().sum(dim=1), rows.shape[1]).sum())
    return (_kernel_sum(rows, rows) - itself) / (len(rows) * (len(rows) - 1))


def _kernel_sum(first: Tensor, second: Tensor) -> float:
    """Of the kernel over all pairs, a block of rows at a time."""
    blocks = (first[start : start + _ROWS] for start in range(0, len(first), _ROWS))
    return sum((float(_cube(rows @ second.T, rows.shape[1]).sum()) for rows in blocks), 0.0)


def _cube(products: Tensor, width: int) -> Tensor:
    base = products / width + 1
    return base * base * base


class _Gaussian:
    """Mean `[width]`, and R with S = R' R: `[at most width, width]`."""

    def __init__(self, mean: Tensor, root: Tensor) -> None:
        self.mean, self.root = mean, root


def _gaussian(features: Features) -> _Gaussian:
    rows = torch.from_numpy(np.ascontiguousarray(features))
    mean = rows.mean(dim=0)
    root = torch.linalg.qr((rows - mean) / (len(rows) - 1) ** 0.5, mode="r").R
    return _Gaussian(mean, root)
