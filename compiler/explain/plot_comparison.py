"""Cross-attention's K and V before and after: what BOS-aware quantization is for (paper, section 3.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixdq.compiler.explain.comparison import Comparison, TextLayerChange
from mixdq.compiler.explain.plot_style import GREY, WIDTH_COLOURS, new_figure, styled
from mixdq.compiler.explain.scores import is_likeness, shown_label, shown_value
from mixdq.configs.sensitivity import Metric, Operand

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT_IN = 3.9


def comparison_figure(comparison: Comparison, metric: Metric, model: str) -> Figure | None:
    """A panel for each operand, a point for each layer and width; None without scores of the metric."""
    changes = [one for one in comparison.text_layers if one.metric is metric]
    operands = [operand for operand in Operand if any(one.operand is operand for one in changes)]
    if not operands:
        return None
    with styled():
        figure = new_figure(_HEIGHT_IN, f"{model}'s projections of the text embedding, before and after")
        panels = figure.subplots(1, len(operands), squeeze=False)
        for axes, operand in zip(panels.flat, operands, strict=True):
            _draw(axes, [one for one in changes if one.operand is operand], metric)
            axes.set_title(f"attn2.to_k and to_v: {operand}s")
        handles, labels = panels.flat[-1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(handles))
        return figure


def _draw(axes: Axes, changes: Sequence[TextLayerChange], metric: Metric) -> None:
    for index, bits in enumerate(sorted({one.bits for one in changes})):
        own = [one for one in changes if one.bits == bits]
        axes.plot(
            [shown_value(one.before, metric) for one in own],
            [shown_value(one.after, metric) for one in own],
            linestyle="none",
            marker=".",
            markersize=4,
            color=WIDTH_COLOURS[index],
            label=f"{bits} bits",
        )
    shown = [shown_value(score, metric) for one in changes for score in (one.before, one.after)]
    known = [value for value in shown if not math.isnan(value)]
    ends = (min(known), max(known)) if known else ()
    axes.plot(ends, ends, color=GREY, linewidth=0.9, label="no change", zorder=1.5)
    if is_likeness(metric):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.invert_xaxis()
        axes.invert_yaxis()
    axes.set_xlabel(f"{shown_label(metric)}, before")
    axes.set_ylabel("after: above the line is less sensitive")
