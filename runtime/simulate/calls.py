"""When requests come: patterns of arrivals, drawn from a seeded generator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

from mixdq.configs.errors import EvaluationError


class Call(NamedTuple):
    """One arrival.

    Attributes:
        at_s: when.
        size: pixels; None for `auto`.
        objective_s: how long it may take; None for the simulation's.
        priority: its class; a lower number goes first.
    """

    at_s: float
    size: int | None = None
    objective_s: float | None = None
    priority: int = 0


class Pattern(Protocol):
    """Arrivals that don't wait for answers."""

    @property
    def name(self) -> str:
        """Its kind, as tables call it."""

    @property
    def rate_per_s(self) -> float:
        """The mean."""

    def calls(self, random: Random) -> Iterator[Call]:
        """The arrivals in order; without end, unless they were recorded."""


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent arrivals."""

    rate_per_s: float

    def __post_init__(self) -> None:
        """Checks the rate."""
        check_above_zero(self.rate_per_s, "the rate of arrivals")

    @property
    def name(self) -> str:
        """`poisson`."""
        return "poisson"

    def calls(self, random: Random) -> Iterator[Call]:
        """Exponential gaps."""
        now_s = 0.0
        while True:
            now_s += random.expovariate(self.rate_per_s)
            yield Call(now_s)


@dataclass(frozen=True, slots=True)
class Gamma:
    """Gaps of a gamma distribution.

    Attributes:
        rate_per_s: the mean.
        variation: standard deviation of a gap over its mean; 1 is Poisson, more comes in clumps.
    """

    rate_per_s: float
    variation: float

    def __post_init__(self) -> None:
        """Checks the figures."""
        check_above_zero(self.rate_per_s, "the rate of arrivals")
        check_above_zero(self.variation, "the variation of the gaps")

    @property
    def name(self) -> str:
        """`gamma cv 2`."""
        return f"gamma cv {self.variation:g}"

    def calls(self, random: Random) -> Iterator[Call]:
        """Gaps of shape 1 / cv²."""
        shape = self.variation**-2
        scale = 1.0 / (self.rate_per_s * shape)
        now_s = 0.0
        while True:
            now_s += random.gammavariate(shape, scale)
            yield Call(now_s)


@dataclass(frozen=True, slots=True)
class Peaks:
    """Poisson arrivals whose rate jumps between two values (MMPP): quiet, and peaks.

    Attributes:
        rate_per_s: the mean over all of the time.
        height: rate in a peak over the mean.
        share: of the time that is in peaks.
        length_s: mean length of a peak.
    """

    rate_per_s: float
    height: float
    share: float
    length_s: float

    def __post_init__(self) -> None:
        """Checks the figures."""
        check_above_zero(self.rate_per_s, "the rate of arrivals")
        check_above_zero(self.length_s, "the length of a peak")
        if not 0 < self.share < 1 or not 1 <= self.height <= 1 / self.share:
            raise EvaluationError(
                "peaks take a share of the time between 0 and 1 and are 1 to 1/share times as high as the "
                f"mean, not share {self.share:g} and height {self.height:g}"
            )

    @property
    def name(self) -> str:
        """`mmpp 3x in 0.1`."""
        return f"mmpp {self.height:g}x in {self.share:g}"

    def calls(self, random: Random) -> Iterator[Call]:
        """Arrivals of one state until it ends, then of the other; both forget, so the cut has no effect."""
        peak = self.rate_per_s * self.height
        quiet = self.rate_per_s * (1 - self.height * self.share) / (1 - self.share)
        quiet_s = self.length_s * (1 - self.share) / self.share
        in_peak = random.random() < self.share
        now_s = 0.0
        while True:
            rate, mean_s = (peak, self.length_s) if in_peak else (quiet, quiet_s)
            end_s = now_s + random.expovariate(1.0 / mean_s)
            # A state of height 1/share has no arrivals in quiet.
            while rate > 0 and (now_s := now_s + random.expovariate(rate)) < end_s:
                yield Call(now_s)
            now_s, in_peak = end_s, not in_peak


@dataclass(frozen=True, slots=True)
class Clients:
    """A burst: so many clients, each of which sends its next request when the last one was answered."""

    concurrency: int

    def __post_init__(self) -> None:
        """Checks the number."""
        check_above_zero(self.concurrency, "the number of clients")

    @property
    def name(self) -> str:
        """`burst 2`."""
        return f"burst {self.concurrency}"


def check_above_zero(figure: float, what: str) -> None:
    """Refuses a figure that is not a finite number above 0.

    Raises:
        EvaluationError: it is not.
    """
    if not 0 < figure < math.inf:
        raise EvaluationError(f"{what} is a number above 0, not {figure:g}")
