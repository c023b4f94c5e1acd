"""Figures by name, one a row: bars in parts, and dots with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mixdq.eval.report.chart_scale import Scale, linear
from mixdq.eval.report.chart_shapes import Box, Chart, Dot, Label, Line, Shape, shortened, width_of

WIDTH = 380.0
_ROW, _TOP, _BOTTOM, _BAR = 24.0, 8.0, 34.0, 13.0
_MOST_LETTERS = 28
_LEAST = 2.0
"""Pixels of an interval that can be told from a point."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: how long, its style and what it is."""

    value: float
    style: str
    hint: str


@dataclass(frozen=True, slots=True)
class BarRow:
    """A bar.

    Attributes:
        name: written before it.
        parts: one after another.
        figure: written behind it.
        low: lower end of its spread; None if there is none.
        high: upper end.
    """

    name: str
    parts: tuple[Part, ...]
    figure: str
    low: float | None = None
    high: float | None = None

    @property
    def total(self) -> float:
        """The whole bar."""
        return sum(part.value for part in self.parts)


@dataclass(frozen=True, slots=True)
class Mark:
    """A dot, with an interval if there is one."""

    value: float
    style: str
    hint: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class DotRow:
    """Dots on one line.

    Attributes:
        name: written before it.
        marks: one, or several that are compared.
        figure: written behind it.
    """

    name: str
    marks: tuple[Mark, ...]
    figure: str


def bars(title: str, rows: Sequence[BarRow], unit: str, text: str = "") -> Chart:
    """Bars from 0; at least one."""
    ends = [max(row.total, row.high or 0.0) for row in rows]
    left, right = _room([row.name for row in rows], [row.figure for row in rows])
    scale = linear([0.0, *ends], left, right, zero=True, most=4)
    shapes = [*_frame(scale, len(rows), unit)]
    for place, row in enumerate(rows):
        middle = _middle(place)
        shapes += _words(row.name, row.figure, middle)
        begin = 0.0
        for part in row.parts:
            wide = scale.at(begin + part.value) - scale.at(begin)
            shapes.append(
                Box(scale.at(begin), middle - _BAR / 2, max(wide - 0.6, 0.4), _BAR, part.style, part.hint)
            )
            begin += part.value
        shapes += _interval(scale, row.low, row.high, middle, "spread")
    return Chart(title, WIDTH, _height(len(rows)), tuple(shapes), text)


def dots(title: str, rows: Sequence[DotRow], unit: str, text: str = "") -> Chart:
    """Dots on an axis that begins where the figures do; at least one."""
    marks = [mark for row in rows for mark in row.marks]
    values = [value for mark in marks for value in (mark.value, mark.low, mark.high) if value is not None]
    left, right = _room([row.name for row in rows], [row.figure for row in rows])
    scale = linear(values, left, right, zero=False, most=4)
    shapes = [*_frame(scale, len(rows), unit)]
    for place, row in enumerate(rows):
        middle = _middle(place)
        shapes += _words(row.name, row.figure, middle)
        shapes.append(Line(scale.start, middle, scale.end, middle, "guide"))
        for mark in row.marks:
            shapes += _interval(scale, mark.low, mark.high, middle, f"{mark.style} stroke")
        # Marks that lie on each other are rings, the later ones inside.
        shapes += [
            Dot(scale.at(mark.value), middle, 3.0 + 1.5 * (len(row.marks) - turn), mark.style, mark.hint)
            for turn, mark in enumerate(row.marks)
        ]
    return Chart(title, WIDTH, _height(len(rows)), tuple(shapes), text)


def _room(names: Sequence[str], figures: Sequence[str]) -> tuple[float, float]:
    before = max(width_of(shortened(name, _MOST_LETTERS)) for name in names)
    behind = max(width_of(figure) for figure in figures)
    return min(before, 186.0) + 10, WIDTH - min(behind, 120.0) - 12


def _height(rows: int) -> float:
    return _TOP + rows * _ROW + _BOTTOM


def _middle(place: int) -> float:
    return _TOP + (place + 0.5) * _ROW


def _frame(scale: Scale, rows: int, unit: str) -> Iterator[Shape]:
    bottom = _TOP + rows * _ROW
    for tick in scale.ticks:
        yield Line(scale.at(tick), _TOP, scale.at(tick), bottom, "grid")
        yield Label(scale.at(tick), bottom + 14, scale.words(tick), "middle")
    yield Label((scale.start + scale.end) / 2, bottom + 29, unit, "middle", "name")


def _words(name: str, figure: str, middle: float) -> Iterator[Shape]:
    yield Label(0, middle + 4, shortened(name, _MOST_LETTERS), "start", "mark")
    yield Label(WIDTH, middle + 4, figure, "end", "figure")


def _interval(
    scale: Scale, low: float | None, high: float | None, middle: float, style: str
) -> Iterator[Shape]:
    if low is None or high is None or abs(scale.at(high) - scale.at(low)) < _LEAST:
        return
    yield Line(scale.at(low), middle, scale.at(high), middle, style)
    for end in (low, high):
        yield Line(scale.at(end), middle - 3.5, scale.at(end), middle + 3.5, style)
