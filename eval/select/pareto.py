"""Which points no other beats: in latency, memory, resolution and quality at once."""

from __future__ import annotations

from collections.abc import Sequence

from mixdq.eval.select.points import Point


def pareto_set(points: Sequence[Point], metric: str | None) -> tuple[Point, ...]:
    """The points that no other dominates, in their order.

    One dominates another if it is no worse in 95th percentile, peak memory, resolution and, where a metric
    is given, quality, and better in one of them. A point without the metric's score is in no set.

    Args:
        points: to compare.
        metric: in its full name; None to leave quality out.
    """
    costs = [(point, _costs(point, metric)) for point in points]
    known = [(point, own) for point, own in costs if own is not None]
    return tuple(point for point, own in known if not any(_dominates(other, own) for _, other in known))


def _costs(point: Point, metric: str | None) -> tuple[float, ...] | None:
    """What is the better the lower it is."""
    costs = (point.p95_ms, point.peak_mib, float(-point.resolution))
    if metric is None:
        return costs
    score = point.score(metric)
    if score is None:
        return None
    return (*costs, -score.value if score.higher_is_better else score.value)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine <= theirs for mine, theirs in zip(one, other, strict=True))
