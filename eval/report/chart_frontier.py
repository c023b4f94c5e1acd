"""Which points no other beats, and a chart of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixdq.eval.report.chart_plane import Axis, Point, Series, plane
from mixdq.eval.report.chart_scale import shown
from mixdq.eval.report.chart_shapes import Chart

_MOST_LABELS = 8
"""Of more candidates only those that no other beats are named; the pointer names the others."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration: what it costs, and what it gives.

    Attributes:
        name: of the configuration.
        cost: less is better.
        worth: whichever way the chart is told.
        style: its colour.
        label: written beside it; None for its name, empty for nothing.
    """

    name: str
    cost: float
    worth: float
    style: str
    label: str | None = None


def frontier(candidates: Sequence[Candidate], *, more_is_better: bool) -> tuple[Candidate, ...]:
    """The candidates that are not beaten in both, by rising cost; of equal ones the first."""
    sign = -1.0 if more_is_better else 1.0
    kept: list[Candidate] = []
    for one in sorted(candidates, key=lambda each: (each.cost, sign * each.worth)):
        if not kept or sign * one.worth < sign * kept[-1].worth:
            kept.append(one)
    return tuple(kept)


def frontier_chart(
    title: str, candidates: Sequence[Candidate], cost: str, worth: str, *, more_is_better: bool
) -> Chart:
    """All candidates and the line through those that no other beats.

    Args:
        title: of the chart.
        candidates: at least one.
        cost: words and unit of the costs.
        worth: of the worths.
        more_is_better: of the worths.
    """
    best = frontier(candidates, more_is_better=more_is_better)
    line = Series(tuple(Point(one.cost, one.worth) for one in best), "frontier", joined=True, dots=False)
    named = candidates if len(candidates) <= _MOST_LABELS else best
    marks = [Series((_point(one, is_named=one in named),), one.style) for one in candidates]
    direction = "↑" if more_is_better else "↓"
    text = f"not beaten: {', '.join(one.name for one in best)}"
    up = Axis(f"{worth} {direction}", ceiling=1.0 if worth.startswith("SSIM") else None)
    return plane(title, [line, *marks], Axis(cost, zero=True), up, text)


def _point(one: Candidate, *, is_named: bool) -> Point:
    label = one.name if one.label is None else one.label
    hint = f"{one.name}: {shown(one.cost)}, {shown(one.worth)}"
    return Point(one.cost, one.worth, label if is_named else "", hint)
