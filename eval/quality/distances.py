"""FID and KID: how far the features of one set of pictures are from those of another."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor, nn

from mixdq.configs.errors import EvaluationError
from mixdq.eval.quality.features import Features

KID_SUBSET = 1000
"""Pictures of one of KID's subsets; sets of no more are compared as a whole."""

_KID_SUBSETS = 100


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


def kid(reference: Features, generated: Features, seed: int) -> float:
    """Kernel distance: the unbiased squared MMD with the kernel (x'y / width + 1)^3 (Binkowski et al. 2018).

    By torchmetrics, in FP64. Sets of up to 1,000 pictures are compared as a whole; of larger ones 100 random
    subsets of 1,000 are, and the value is the mean. It may be below 0: the estimate has no bias.

    Args:
        reference: features of one set.
        generated: features of the other.
        seed: of the subsets.

    Raises:
        EvaluationError: fewer than two pictures in a set.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(len(reference), len(generated), KID_SUBSET)
    if size < 2:
        raise EvaluationError("KID needs at least two pictures of each set; draw more")
    whole = size == len(reference) == len(generated)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save")
        metric = KernelInceptionDistance(
            feature=_Given(), subsets=1 if whole else _KID_SUBSETS, subset_size=size
        )
    metric.update(torch.from_numpy(reference), real=True)
    metric.update(torch.from_numpy(generated), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, _ = metric.compute()
    return float(mean)


class _Given(nn.Module):
    """Passes features on: torchmetrics' metrics want a network."""

    def forward(self, features: Tensor) -> Tensor:
        return features


class _Gaussian:
    """Mean `[width]`, and R with S = R' R: `[at most width, width]`."""

    def __init__(self, mean: Tensor, root: Tensor) -> None:
        self.mean, self.root = mean, root


def _gaussian(features: Features) -> _Gaussian:
    rows = torch.from_numpy(np.ascontiguousarray(features))
    mean = rows.mean(dim=0)
    root = torch.linalg.qr((rows - mean) / (len(rows) - 1) ** 0.5, mode="r").R
    return _Gaussian(mean, root)
