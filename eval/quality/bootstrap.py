"""Means with 95 % intervals, from resampled pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorer import Scores

_LOW, _HIGH = 2.5, 97.5
_AT_ONCE = 2**22
"""Numbers of the resamples that are held at a time."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are drawn (Efron's percentile bootstrap).

    Attributes:
        draws: resamples.
        seed: of their indices; the same seed gives the same digits.
    """

    draws: int
    seed: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: Scores, bootstrap: Bootstrap) -> Interval:
    """The mean over pictures, and between what values it lies in 95 of 100 resamples of the pictures.

    Paired scores are compared through their differences: pass those.

    Raises:
        EvaluationError: no value, or values that are not finite.
    """
    if not len(values) or not np.isfinite(values).all():
        raise EvaluationError(f"the mean of {len(values)} values that should be finite has no interval")
    random = np.random.default_rng(bootstrap.seed)
    rows = max(1, _AT_ONCE // len(values))
    means = [
        values[random.integers(0, len(values), (min(rows, bootstrap.draws - start), len(values)))].mean(
            axis=1
        )
        for start in range(0, bootstrap.draws, rows)
    ]
    low, high = np.percentile(np.concatenate(means), (_LOW, _HIGH))
    return Interval(float(values.mean()), float(low), float(high))
