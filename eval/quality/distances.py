"""FID and KID: how far the features of one set of pictures are from those of another, by torchmetrics."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from mixdq.configs.errors import EvaluationError
from mixdq.eval.quality.features import Features

_SUBSET, _SUBSETS = 1000, 100
"""Of KID, as usual: pictures of a subset at most, and how many subsets."""


def fid(reference: Features, generated: Features) -> float:
    """Fréchet distance of the Gaussians of two sets of features (Heusel et al. 2017).

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), with unbiased covariances. The root of an eigenvalue
    that should be 0 has an error of about 1e-8 of the largest, and with fewer pictures than features there
    are many: a set is up to a few millionths of its variance from itself.

    Raises:
        EvaluationError: fewer than two pictures in a set.
    """
    if min(len(reference), len(generated)) < 2:
        raise EvaluationError("FID needs a covariance, so at least two pictures of each set; draw more")
    metric = FrechetInceptionDistance(feature=_Given(reference.shape[1]))
    metric.update(_rows(reference), real=True)
    metric.update(_rows(generated), real=False)
    return float(metric.compute())


def spread(features: Features) -> float:
    """The trace of S, the total variance, against which an FID of a set with itself is small."""
    return float(features.var(axis=0, ddof=1).sum())


def kid(reference: Features, generated: Features) -> float:
    """Kernel distance: the unbiased squared MMD with the kernel (x'y / width + 1)^3 (Binkowski et al. 2018).

    Over all pictures if the sets are of one size and of at most 1,000; else the mean over 100 subsets of
    1,000, or of the smaller set's size, drawn with a fixed seed. It may be below 0, since the estimate has no
    bias.

    Raises:
        EvaluationError: fewer than two pictures in a set.
    """
    size = min(len(reference), len(generated), _SUBSET)
    if size < 2:
        raise EvaluationError("KID needs at least two pictures of each set; draw more")
    subsets = 1 if size == len(reference) == len(generated) else _SUBSETS
    with warnings.catch_warnings(), torch.random.fork_rng(devices=()):
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save all")
        metric = KernelInceptionDistance(
            feature=_Given(reference.shape[1]), subsets=subsets, subset_size=size, coef=1.0
        )
        metric.update(_rows(reference), real=True)
        metric.update(_rows(generated), real=False)
        torch.manual_seed(0)
        return float(metric.compute()[0])


class _Given(nn.Module):
    """The feature extractor of features that are there already."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def _rows(features: Features) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(features, dtype=np.float64))
