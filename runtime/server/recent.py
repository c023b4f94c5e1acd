"""How long the last pictures took."""

from __future__ import annotations

from collections import deque

_COUNT = 1000
_FOR_S = 60.0


class Recent:
    """Latencies of the last minute, of a thousand pictures at most."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=_COUNT)

    def add(self, now_s: float, latency_s: float) -> None:
        """A picture was made now, so long after it had been asked for."""
        self._seen.append((now_s, latency_s))

    def quantiles(self, now_s: float, *shares: float) -> tuple[float | None, ...]:
        """The latency that each share of them does not exceed; None if there are none."""
        while self._seen and self._seen[0][0] < now_s - _FOR_S:
            self._seen.popleft()
        ordered = sorted(latency_s for _, latency_s in self._seen)
        if not ordered:
            return (None,) * len(shares)
        last = len(ordered) - 1
        return tuple(ordered[min(last, int(share * len(ordered)))] for share in shares)
