"""Two engines' times from runs in turns: which is slower, beyond what the measurement itself scatters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median, quantiles

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT

ERROR = 0.05
"""How often one of some comparisons together may call a difference real that is none."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Spread:
    """Microseconds of several runs."""

    median_us: float
    lower_quartile_us: float
    upper_quartile_us: float

    @classmethod
    def of(cls, runs: Sequence[float]) -> Spread:
        """The median and the quartiles of at least two runs."""
        lower, middle, upper = quantiles(runs, n=4, method="inclusive")
        return cls(middle, lower, upper)


@dataclass(frozen=True, slots=True, config=STRICT)
class Paired:
    """Full precision and a candidate, each run of one beside a run of the other.

    Attributes:
        full: of full precision.
        candidate: of the quantized engine.
        difference_us: median of candidate less full precision, run by run.
        low_us: the median difference of any number of further runs is no less, but for `ERROR`. The layers
            of an engine share it; the whole engine has its own.
        high_us: likewise no more.
    """

    full: Spread
    candidate: Spread
    difference_us: float
    low_us: float
    high_us: float

    @property
    def slower(self) -> bool:
        """Whether the candidate takes longer, beyond the spread."""
        return self.low_us > 0

    @property
    def faster(self) -> bool:
        """Whether it takes less, likewise."""
        return self.high_us < 0

    @classmethod
    def of(cls, full: Sequence[float], candidate: Sequence[float], comparisons: int) -> Paired:
        """Compares as many runs of both; `least_runs` says how many are needed.

        The interval is between two of the sorted differences (of the sign test), so that it supposes nothing
        of how times scatter: a run that something disturbed counts no more than any other.

        Args:
            full: microseconds of full precision.
            candidate: of the runs beside them.
            comparisons: how many are made at once, which share `ERROR`.
        """
        differences = sorted(theirs - ours for ours, theirs in zip(full, candidate, strict=True))
        rank = _rank(len(differences), comparisons)
        assert rank > 0, "fewer runs than `least_runs`"
        return cls(
            Spread.of(full),
            Spread.of(candidate),
            median(differences),
            differences[rank - 1],
            differences[-rank],
        )


def least_runs(comparisons: int) -> int:
    """The fewest runs of which any difference can be called real."""
    return math.ceil(math.log2(2 * comparisons / ERROR))


def summed(parts: Iterable[Paired]) -> tuple[float, float]:
    """The median difference and the least one of several comparisons together, in microseconds.

    The sum of the least is less than the least of the sum: what it calls slower is.
    """
    pairs = [(part.difference_us, part.low_us) for part in parts]
    return sum(difference for difference, _ in pairs), sum(low for _, low in pairs)


def _rank(runs: int, comparisons: int) -> int:
    """Which of the sorted differences bounds their median, counted from 1 at either end; 0 if none does."""
    allowed, tail = ERROR / comparisons / 2, 0.0
    for rank in range(runs):
        tail += math.comb(runs, rank) / 2**runs
        if tail > allowed:
            return rank
    return 0
