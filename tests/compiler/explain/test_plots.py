from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.lines import Line2D

from mixdq.compiler.allocate.subject import PAPER_WIDTHS, Part, Subject
from mixdq.compiler.allocate.sweep import grid
from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.comparison import Comparison
from mixdq.compiler.explain.frontier import frontiers_of
from mixdq.compiler.explain.plot_bits import bits_figure, network_order
from mixdq.compiler.explain.plot_comparison import comparison_figure
from mixdq.compiler.explain.plot_frontier import frontier_figure
from mixdq.compiler.explain.plot_style import save
from mixdq.compiler.explain.plot_tails import short_name, tails_figure
from mixdq.compiler.explain.ranking import Ranking
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import PAPER_METRICS, Metric, Operand, SensitivityTable

MakeCase = Callable[..., Case]


def _x(line: Line2D) -> list[float]:
    return [float(value) for value in np.asarray(line.get_xdata())]


def _y(line: Line2D) -> list[float]:
    return [float(value) for value in np.asarray(line.get_ydata())]


def test_tails_are_sorted_scores_and_likenesses_distances_from_one(
    make_case: MakeCase, mixed: PrecisionPlan
) -> None:
    case = make_case(mixed)
    order = (Part.CONTENT_WEIGHTS, Part.QUALITY_WEIGHTS)
    figure = tails_figure([Ranking.of(case, part) for part in order], "nine")
    content, quality = figure.axes
    # Feed-forward, K and V at 4 bits: 0.96, 0.97, 0.98.
    assert _y(content.lines[1]) == pytest.approx([0.04, 0.03, 0.02])
    assert content.get_yscale() == "log"
    assert _y(quality.lines[2]) == [40, 45, 50, 60, 70, 71]
    assert [text.get_text() for text in quality.texts] == ["conv_out", "conv_out", "conv_in"]
    assert "(dB)" in quality.get_ylabel()


def test_protected_activations_are_ringed_on_the_curve_of_eight_bits(
    make_case: MakeCase, mixed: PrecisionPlan
) -> None:
    figure = tails_figure([Ranking.of(make_case(mixed), Part.QUALITY_ACTIVATIONS)], "nine")
    rings = figure.axes[0].lines[-1]
    assert rings.get_label() == "FP16 in this plan"
    assert (_x(rings), _y(rings)) == ([1], [31.0])


def test_a_likeness_of_exactly_one_leaves_a_gap_on_the_logarithmic_axis(
    make_case: MakeCase, mixed: PrecisionPlan, sensitivity: SensitivityTable, tmp_path: Path
) -> None:
    one, two, three = sensitivity.scores[Operand.WEIGHT][Metric.SSIM]
    perfect = {one: (0.9, 1.0, 1.0), two: (0.8, 0.99, 1.0), three: (0.7, 1.0, 1.0)}
    own = {**sensitivity.scores[Operand.WEIGHT], Metric.SSIM: perfect}
    scores = replace(sensitivity, scores={**sensitivity.scores, Operand.WEIGHT: own})
    figure = tails_figure([Ranking.of(make_case(mixed, scores), Part.CONTENT_WEIGHTS)], "nine")
    two_bits, four_bits, eight_bits = (_y(line) for line in figure.axes[0].lines)
    assert two_bits == pytest.approx([0.3, 0.2, 0.1])
    assert four_bits == pytest.approx([0.01, math.nan, math.nan], nan_ok=True)
    assert all(map(math.isnan, eight_bits))
    save(figure, tmp_path / "tails.png")
    compared = comparison_figure(Comparison.of(make_case(mixed, scores), scores), Metric.SSIM, "nine")
    assert compared is not None
    save(compared, tmp_path / "comparison.png")


def test_the_middle_block_is_drawn_before_the_up_blocks(table: LayerTable) -> None:
    names = [layer.name for layer in network_order(table)]
    assert names[0] == "conv_in"
    assert names[-2:] == ["up_blocks.0.resnets.0.conv_shortcut", "conv_out"]
    assert sorted(names) == sorted(table.by_name)


def test_every_layer_is_drawn_once_at_its_bits(make_case: MakeCase, mixed: PrecisionPlan) -> None:
    weights, activations = bits_figure(make_case(mixed)).axes
    for axes in (weights, activations):
        places = sorted(place for line in axes.lines if line.get_marker() == "|" for place in _x(line))
        assert places == list(range(9))
    assert [label.get_text() for label in weights.get_yticklabels()] == ["4  (2)", "8  (7)"]
    assert [label.get_text() for label in activations.get_yticklabels()] == ["4  (1)", "8  (7)", "FP16  (1)"]
    # conv_in, the first layer of the only role with three, is on the third level.
    (convolutions,) = [line for line in activations.lines if line.get_label() == "convolution"]
    assert [round(height) for height in _y(convolutions)] == [2, 1, 1]


def test_the_frontier_has_the_plan_as_a_star_or_its_bits_as_a_line(
    make_case: MakeCase, mixed: PrecisionPlan, table: LayerTable, sensitivity: SensitivityTable
) -> None:
    protected = frozenset({LayerName("conv_in")})
    subject = Subject(table, sensitivity, PAPER_METRICS, PAPER_WIDTHS, 64, protected)
    points = grid(subject, Operand.WEIGHT, 3, lambda *_: None)
    for scores, label in ((sensitivity, "this plan"), (None, "this plan's bits")):
        frontiers = frontiers_of(make_case(mixed, scores), points, PAPER_WIDTHS)
        (axes,) = frontier_figure(frontiers, "nine").axes
        assert "weights: 9 pairs" in axes.get_title(loc="left")
        lines = {str(line.get_label()): line for line in axes.lines}
        assert _x(lines[label])[0] == pytest.approx(7.2)
        assert len(_x(lines["a pair of budgets"])) == 9


def test_before_and_after_has_a_point_for_each_layer_and_width(
    make_case: MakeCase, mixed: PrecisionPlan, sensitivity: SensitivityTable
) -> None:
    comparison = Comparison.of(make_case(mixed), sensitivity)
    figure = comparison_figure(comparison, Metric.SSIM, "nine")
    assert figure is not None
    weights, _ = figure.axes
    assert [len(_x(line)) for line in weights.lines[:3]] == [2, 2, 2]
    assert comparison_figure(comparison, Metric.WINDOWED_SSIM, "nine") is None


def test_names_are_shortened_so_that_they_still_tell_layers_apart() -> None:
    name = LayerName("down_blocks.2.attentions.1.transformer_blocks.6.ff.net.2")
    assert short_name(name) == "down 2.1.6.ff.net.2"
    assert short_name(LayerName("mid_block.resnets.0.conv1")) == "mid 0.conv1"
