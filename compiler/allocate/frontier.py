"""The Pareto frontier: what no other point beats in cost and objective at once."""

from __future__ import annotations

from collections.abc import Sequence


def frontier(points: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """The indices of the points on the frontier, by ascending cost.

    A point is dominated if another costs no more and has no smaller objective, and is better in one of
    the two. Of equal points the first is taken.

    Args:
        points: `(cost, objective)`.
    """
    found: list[int] = []
    order = sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1], index))
    for index in order:
        if not found or points[index][1] > points[found[-1]][1]:
            found.append(index)
    return tuple(found)
