"""Expected against measured: a panel a predictor and measure, a point a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixdq.compiler.explain.plot_style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    new_figure,
    styled,
)
from mixdq.eval.prediction.drawing import NOISE, OBJECTIVE
from mixdq.eval.prediction.report import PredictionReport
from mixdq.export.judgement import Measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT_IN = 5.2
_MEASURES = {
    Measure.SQNR: "SQNR of the prediction, dB",
    Measure.PSNR: "PSNR of the pictures, dB",
    Measure.SSIM: "SSIM of the pictures",
}
_PREDICTORS = {OBJECTIVE: "objective (summed shares)", NOISE: "SQNR if errors added up, dB"}
_COLOURS = (RED, SKY, GREEN, ORANGE, BLUE, PURPLE, INK)
_MARKERS = "*osD^vX"


def prediction_figure(report: PredictionReport) -> Figure:
    """Two rows, of the objective and of added noise, and a column a measure."""
    with styled():
        figure = new_figure(
            _HEIGHT_IN, f"{report.model}: what sensitivities foretell of {len(report.plans)} plans"
        )
        panels = figure.subplots(len(_PREDICTORS), len(_MEASURES), squeeze=False, sharex="row", sharey="col")
        for row, predictor in zip(panels, _PREDICTORS, strict=True):
            for axes, measure in zip(row, _MEASURES, strict=True):
                _draw(axes, report, predictor, measure)
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return figure


def _draw(axes: Axes, report: PredictionReport, predictor: str, measure: Measure) -> None:
    for number, kind in enumerate(dict.fromkeys(plan.kind for plan in report.plans)):
        points = [
            (plan.expected[predictor], plan.fidelity[measure]) for plan in report.plans if plan.kind == kind
        ]
        axes.plot(
            *zip(*points, strict=True),
            linestyle="none",
            marker=_MARKERS[number],
            markersize=8 if number == 0 else 4,
            color=_COLOURS[number],
            markeredgecolor="white",
            markeredgewidth=0.4,
            zorder=3 if number == 0 else 2,
            label=kind,
        )
    found = report.overall(predictor, measure)
    rho = "not defined" if found is None or found.rho is None else f"{found.rho:+.2f}"
    axes.set_title(f"Spearman's rho {rho}", fontsize=8.5, fontweight="normal")
    axes.set_xlabel(_PREDICTORS[predictor])
    axes.set_ylabel(_MEASURES[measure])
