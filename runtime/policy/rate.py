"""How fast and how evenly requests come: estimated from the arrivals so far."""

from __future__ import annotations

import math

from mixdq.configs.errors import EvaluationError

_SHORTEST_SHARE = 0.05
_WINDOWS = 60.0
"""After so many windows one weighs 1/e in the estimate of the dispersion."""
_PRIOR = 10.0
"""As if so many windows of Poisson arrivals, of one arrival each, had been seen before."""
_MOST_EMPTY = 20


class ArrivalRate:
    """Arrivals a second and their dispersion.

    The rate weighs an arrival by exp(-age / memory), without bias once a twentieth of the memory has passed.
    The dispersion compares counts in windows with what the rate at a window's beginning let expect: the mean
    square of the differences over the mean count, 1 for Poisson arrivals, more if they come in clumps that
    the rate did not foresee.
    """

    __slots__ = (
        "_count",
        "_expected",
        "_first_s",
        "_last_s",
        "_memory_s",
        "_predicted",
        "_squares",
        "_weight",
        "_window_end_s",
        "_window_s",
    )

    def __init__(self, memory_s: float, window_s: float) -> None:
        """Starts without arrivals.

        Args:
            memory_s: after this time an arrival weighs 1/e of what it did.
            window_s: in which arrivals are counted for the dispersion.

        Raises:
            EvaluationError: one of them is not above 0.
        """
        for seconds, what in ((memory_s, "memory"), (window_s, "window")):
            if not 0 < seconds < math.inf:
                raise EvaluationError(
                    f"the {what} of the arrivals' rate is a number of seconds above 0, not {seconds:g}"
                )
        self._memory_s = memory_s
        self._window_s = window_s
        self._first_s = math.nan
        self._last_s = math.nan
        self._weight = 0.0
        self._window_end_s = math.nan
        self._count = 0
        self._expected = 0.0
        self._squares = _PRIOR
        self._predicted = _PRIOR

    @property
    def dispersion(self) -> float:
        """Variance of the counts over their mean, in windows that are over."""
        return self._squares / self._predicted

    def observe(self, now_s: float) -> None:
        """Counts an arrival; a clock that went back stands still."""
        if math.isnan(self._first_s):
            # An interval begins with it: the arrivals after it are what is counted.
            self._first_s = self._last_s = now_s
            # The first window begins when the rate is known well enough to expect something of it.
            self._window_end_s = now_s + self._memory_s
            return
        if now_s >= self._window_end_s:
            self._close(now_s)
        self._count += 1
        if now_s > self._last_s:
            self._weight *= math.exp((self._last_s - now_s) / self._memory_s)
            self._last_s = now_s
        self._weight += 1.0

    def per_second(self, now_s: float) -> float:
        """The rate; 0 before the second arrival."""
        if not self._weight:
            return 0.0
        memory_s, weight = self._memory_s, self._weight
        if now_s > self._last_s:
            weight *= math.exp((self._last_s - now_s) / memory_s)
        # Two arrivals side by side are no thousand a second.
        seen_s = memory_s * max(_SHORTEST_SHARE, -math.expm1((self._first_s - now_s) / memory_s))
        return weight / seen_s

    def _close(self, now_s: float) -> None:
        """Ends the windows that are over; of a long silence only the first ones."""
        for _ in range(_MOST_EMPTY):
            if self._expected:
                keep = 1.0 - 1.0 / _WINDOWS
                self._squares = keep * self._squares + (self._count - self._expected) ** 2
                self._predicted = keep * self._predicted + self._expected
            self._count = 0
            self._expected = self._window_s * self.per_second(self._window_end_s)
            self._window_end_s += self._window_s
            if now_s < self._window_end_s:
                return
        self._expected = 0.0
        self._window_end_s = now_s + self._window_s
