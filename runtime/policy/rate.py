"""How fast requests come: estimated from the arrivals so far."""

from __future__ import annotations

import math

from mixdq.configs.errors import EvaluationError

_SHORTEST_SHARE = 0.05


class ArrivalRate:
    """Arrivals a second, weighted by exp(-age / memory), without bias once a twentieth of it has passed."""

    __slots__ = ("_first_s", "_last_s", "_memory_s", "_weight")

    def __init__(self, memory_s: float) -> None:
        """Starts without arrivals.

        Args:
            memory_s: after this time an arrival weighs 1/e of what it did.

        Raises:
            EvaluationError: it is not above 0.
        """
        if not 0 < memory_s < math.inf:
            raise EvaluationError(f"the memory of the rate is a number of seconds above 0, not {memory_s:g}")
        self._memory_s = memory_s
        self._first_s = math.nan
        self._last_s = math.nan
        self._weight = 0.0

    def observe(self, now_s: float) -> None:
        """Counts an arrival; a clock that went back stands still."""
        if math.isnan(self._first_s):
            # An interval begins with it: the arrivals after it are what is counted.
            self._first_s = self._last_s = now_s
            return
        elapsed = max(0.0, now_s - self._last_s)
        self._weight = self._weight * math.exp(-elapsed / self._memory_s) + 1.0
        self._last_s = max(now_s, self._last_s)

    def per_second(self, now_s: float) -> float:
        """The rate; 0 before the second arrival."""
        if not self._weight:
            return 0.0
        memory_s = self._memory_s
        weight = self._weight * math.exp(-max(0.0, now_s - self._last_s) / memory_s)
        seen_s = memory_s * -math.expm1(-max(0.0, now_s - self._first_s) / memory_s)
        # Two arrivals side by side are no thousand a second.
        return weight / max(seen_s, _SHORTEST_SHARE * memory_s)
