"""Where charts put what they show."""

from __future__ import annotations

import pytest

from mixdq.eval.report.chart_frontier import Candidate, frontier, frontier_chart
from mixdq.eval.report.chart_plane import Axis, Point, Series, plane
from mixdq.eval.report.chart_rows import BarRow, DotRow, Mark, Part, bars, dots
from mixdq.eval.report.chart_scale import linear, logarithmic, shown
from mixdq.eval.report.chart_shapes import Box, Chart, Curve, Dot, Label, Line, width_of


def candidates(*points: tuple[float, float]) -> list[Candidate]:
    return [Candidate(f"p{place}", *point, "s0") for place, point in enumerate(points)]


def labels(chart: Chart, style: str) -> list[Label]:
    return [shape for shape in chart.shapes if isinstance(shape, Label) and shape.style == style]


def test_ticks_are_round_and_enclose_the_figures() -> None:
    scale = linear([3.0, 47.0], 0.0, 100.0, zero=False)
    assert scale.ticks == (0.0, 10.0, 20.0, 30.0, 40.0, 50.0)
    assert scale.at(25.0) == 50.0
    assert linear([3.0, 47.0], 100.0, 0.0, zero=True).at(50.0) == 0.0


def test_figures_that_are_all_alike_have_an_axis_too() -> None:
    for value in (0.0, 7.0, -3.0):
        for zero in (False, True):
            scale = linear([value, value], 0.0, 1.0, zero=zero)
            assert scale.low <= value <= scale.high
            assert scale.low < scale.high


def test_an_axis_ends_where_figures_must() -> None:
    same = [0.93, 0.93]
    assert linear(same, 0.0, 1.0, zero=False).high > 1.0
    assert linear(same, 0.0, 1.0, zero=False, ceiling=1.0).ticks[-1] == pytest.approx(1.0)
    chart = frontier_chart("", candidates((1, 0.93), (2, 0.93)), "ms", "SSIM", more_is_better=True)
    assert max(float(label.text) for label in labels(chart, "tick") if label.anchor == "end") == 1.0


def test_neighbouring_ticks_are_told_apart() -> None:
    scale = linear([114.5, 115.1], 0.0, 1.0, zero=False)
    words = [scale.words(tick) for tick in scale.ticks]
    assert len(set(words)) == len(words)
    quarters = linear([0.0, 1.0], 0.0, 1.0, zero=True, most=4)
    assert [quarters.words(tick) for tick in quarters.ticks] == ["0", "0.25", "0.50", "0.75", "1.00"]


def test_equal_ratios_are_equally_long_on_a_logarithmic_axis() -> None:
    scale = logarithmic([1.0, 1000.0], 0.0, 90.0)
    assert scale.ticks == (1.0, 10.0, 100.0, 1000.0)
    assert scale.at(10.0) == pytest.approx(30.0)
    assert scale.at(100.0) == pytest.approx(60.0)
    assert len(logarithmic([20.0, 70.0], 0.0, 90.0).ticks) >= 2


@pytest.mark.parametrize(
    ("value", "words"), [(0.0, "0"), (-0.5, "−0.5"), (1500.0, "1,500"), (1e-5, "1e−5"), (12.34, "12.3")]
)
def test_figures_are_written_briefly(value: float, words: str) -> None:
    assert shown(value) == words


def test_the_frontier_is_what_no_other_beats() -> None:
    found = candidates((3, 5), (1, 2), (2, 4), (2, 3), (4, 5), (5, 9))
    assert [one.name for one in frontier(found, more_is_better=True)] == ["p1", "p2", "p0", "p5"]
    assert [one.name for one in frontier(found, more_is_better=False)] == ["p1"]


def test_the_frontier_is_drawn_through_its_points_alone() -> None:
    chart = frontier_chart("", candidates((1, 2), (2, 4), (3, 3)), "ms", "dB", more_is_better=True)
    (line,) = (shape for shape in chart.shapes if isinstance(shape, Curve))
    marks = [(shape.x, shape.y) for shape in chart.shapes if isinstance(shape, Dot)]
    assert line.style.startswith("frontier")
    assert line.points == tuple(marks[:2])


def test_labels_never_lie_on_each_other_nor_outside() -> None:
    series = [Series((Point(1.0 + place / 100, 1.0, f"plan {place}"),), "s0") for place in range(6)]
    chart = plane("", series, Axis("x"), Axis("y"))
    found = labels(chart, "mark")
    assert len(found) == 6
    for place, one in enumerate(found):
        assert one.x >= 0
        assert one.x + width_of(one.text) <= chart.width
        for other in found[:place]:
            apart = abs(one.x - other.x) >= width_of("plan 0") or abs(one.y - other.y) >= 12
            assert apart


def test_parts_of_a_bar_follow_each_other_from_zero() -> None:
    row = BarRow("a", (Part(10.0, "s0", ""), Part(30.0, "s1", "")), "40")
    first, second = (shape for shape in bars("", [row], "ms").shapes if isinstance(shape, Box))
    assert second.x == pytest.approx(first.x + first.width, abs=1)
    assert second.width == pytest.approx(3 * first.width, abs=3)


def test_an_interval_reaches_from_its_low_to_its_high_end() -> None:
    chart = dots("", [DotRow("a", (Mark(5.0, "s0", "", 0.0, 10.0),), "5")], "dB")
    (middle,) = (shape for shape in chart.shapes if isinstance(shape, Dot))
    ends = [shape for shape in chart.shapes if isinstance(shape, Line) and "stroke" in shape.style]
    assert (ends[0].x1 + ends[0].x2) / 2 == pytest.approx(middle.x)
