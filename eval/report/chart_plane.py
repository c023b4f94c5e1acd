"""Points and lines over two axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mixdq.eval.report.chart_scale import Scale, linear, logarithmic
from mixdq.eval.report.chart_shapes import Chart, Curve, Dot, Label, Line, Shape, shortened, width_of

WIDTH, HEIGHT = 380.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 14.0, 28.0, 40.0
_LINE = 13.0
"""Pixels between two labels' lines."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point; a label is written beside it, a hint appears under the pointer."""

    x: float
    y: float
    label: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong together.

    Attributes:
        points: from left to right, if they are joined.
        style: of lines and dots.
        joined: whether lines go from point to point.
        dots: whether the points are marked.
        label: written at the end of a line.
    """

    points: tuple[Point, ...]
    style: str
    joined: bool = False
    dots: bool = True
    label: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: its words, and how figures lie on it."""

    title: str
    is_log: bool = False
    zero: bool = False
    limit: float | None = None
    """A line across the chart, such as an objective."""
    ceiling: float | None = None
    """A round figure that none can be above."""


def plane(title: str, series: Sequence[Series], x: Axis, y: Axis, text: str = "") -> Chart:
    """A chart of series; at least one point."""
    points = [point for one in series for point in one.points]
    room = max((width_of(shortened(one.label, 16)) for one in series if one.label), default=0.0)
    right = WIDTH - _RIGHT - room
    across = _scale(x, [point.x for point in points], _LEFT, right)
    up = _scale(y, [point.y for point in points], HEIGHT - _BOTTOM, _TOP)
    shapes = (
        *_frame(across, up, x, y, right),
        *(shape for one in series for shape in _drawn(one, across, up)),
        *_labels(series, across, up),
    )
    return Chart(title, WIDTH, HEIGHT, shapes, text)


def _scale(axis: Axis, values: Sequence[float], start: float, end: float) -> Scale:
    reach = [*values, *([] if axis.limit is None else [axis.limit])]
    if axis.is_log:
        return logarithmic(reach, start, end)
    return linear(reach, start, end, zero=axis.zero, ceiling=axis.ceiling)


def _frame(across: Scale, up: Scale, x: Axis, y: Axis, right: float) -> Iterator[Shape]:
    bottom = HEIGHT - _BOTTOM
    for tick in up.ticks:
        yield Line(_LEFT, up.at(tick), right, up.at(tick), "grid")
        yield Label(_LEFT - 6, up.at(tick) + 4, up.words(tick), "end")
    for tick in across.ticks:
        yield Line(across.at(tick), bottom, across.at(tick), bottom + 4, "axis")
        yield Label(across.at(tick), bottom + 16, across.words(tick), "middle")
    yield Line(_LEFT, bottom, right, bottom, "axis")
    yield Label((_LEFT + right) / 2, HEIGHT - 6, x.title, "middle", "name")
    yield Label(0, 9, y.title, "start", "name")
    if y.limit is not None:
        yield Line(_LEFT, up.at(y.limit), right, up.at(y.limit), "limit")


def _drawn(one: Series, across: Scale, up: Scale) -> Iterator[Shape]:
    places = [(across.at(point.x), up.at(point.y)) for point in one.points]
    if one.joined and len(places) > 1:
        yield Curve(tuple(places), f"{one.style} stroke")
    if one.dots:
        for point, (left, top) in zip(one.points, places, strict=True):
            yield Dot(left, top, 4.0, one.style, point.hint)


def _labels(series: Sequence[Series], across: Scale, up: Scale) -> Iterator[Label]:
    """Names at the ends of lines and beside points, moved apart where they would lie on each other."""
    taken: list[tuple[float, float, float]] = []
    for place, words in _ends(series, across, up):
        taken.append((*place, width_of(words)))
        yield Label(*place, words, "start", "mark")
    wanted = [
        (across.at(point.x), up.at(point.y), shortened(point.label, 24))
        for one in series
        for point in one.points
        if point.label
    ]
    for left, top, words in sorted(wanted, key=lambda each: each[1]):
        wide = width_of(words)
        places = _around(left, top, wide)
        spot = next((place for place in places if _is_free(*place, wide, taken)), None)
        if spot is None:
            spot = places[0]
            while not _is_free(*spot, wide, taken):
                spot = (spot[0], spot[1] - 2.0)
        taken.append((*spot, wide))
        yield Label(*spot, words, "start", "mark")


def _ends(series: Sequence[Series], across: Scale, up: Scale) -> Iterator[tuple[tuple[float, float], str]]:
    """Lines' names from top to bottom as the lines end, one below the other, none below the chart."""
    ends = sorted(
        (up.at(one.points[-1].y) + 4, across.at(one.points[-1].x) + 7, shortened(one.label, 16))
        for one in series
        if one.label
    )
    tops: list[float] = []
    for top, _, _ in ends:
        tops.append(max(top, tops[-1] + _LINE) if tops else top)
    lowest = HEIGHT - _BOTTOM - 3
    for place in reversed(range(len(tops))):
        tops[place] = min(tops[place], lowest)
        lowest = tops[place] - _LINE
    for top, (_, left, words) in zip(tops, ends, strict=True):
        yield (left, top), words


def _around(left: float, top: float, wide: float) -> list[tuple[float, float]]:
    """Right of a point, left of it, above, below: those that lie within the chart."""
    level = min(top + 4, HEIGHT - _BOTTOM - 3)
    places = [
        (left + 8, level),
        (left - 8 - wide, level),
        (left - wide / 2, top - 8),
        (left - wide / 2, top + 16),
    ]
    inside = [place for place in places if place[0] >= _LEFT and place[0] + wide <= WIDTH]
    return inside or [(max(_LEFT, min(left, WIDTH - wide)), top - 8)]


def _is_free(left: float, top: float, wide: float, taken: Sequence[tuple[float, float, float]]) -> bool:
    return not any(
        abs(top - other_top) < _LINE and left < other_left + other_wide and other_left < left + wide
        for other_left, other_top, other_wide in taken
    )
