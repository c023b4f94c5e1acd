"""Figure 8: the programmes' optimum and other ways to spend the same bits, at every budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixdq.compiler.allocate.opening import open_subject
from mixdq.compiler.allocate.protection import PAPER_SHARE
from mixdq.compiler.explain.plot_style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    new_figure,
    save,
    styled,
)
from mixdq.compiler.search.opening import JudgeWords
from mixdq.compiler.search.searching import Forms
from mixdq.configs.sensitivity import PAPER_METRICS, Objective
from mixdq.configs.shipped_search import shipped_sensitivity
from mixdq.eval.prediction.drawing import OBJECTIVE, check_request, draw_plans
from mixdq.eval.prediction.judged import JudgedPlan
from mixdq.eval.prediction.predicting import predict
from mixdq.eval.prediction.report import PredictionReport
from mixdq.eval.reproduce.columns import Column
from mixdq.eval.reproduce.made import Made
from mixdq.eval.reproduce.result import Figure, ResultRow
from mixdq.eval.reproduce.workshop import Workshop
from mixdq.export.judgement import Measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Plot

_FILE = "fig8.png"
_HEIGHT_IN = 3.4
_LOW, _HIGH = 4.25, 7.75
"""Means of weight bits, the range of `mixdq-eval prediction`."""
_ACTIVATION_BITS = 8.0
_COLOURS = (RED, SKY, GREEN, ORANGE, BLUE, PURPLE, INK)


def make_contest(shop: Workshop) -> Made:
    """Judges plans of evenly spaced budgets, each kind of each budget once; see `mixdq-eval prediction`.

    Raises:
        EvaluationError: too few plans.
        MixdqError: see `predict`.
    """
    request, out = shop.request, shop.request.out
    check_request(request.plan_count, _LOW, _HIGH)
    words = JudgeWords(
        prompts=request.prompts,
        prompt_count=request.count or shop.recipe.count,
        seed=request.seed,
        resolution=shop.bench.resolution,
        ranges=None,
        target="cpu",
        device=request.device,
        batch=None,
        restart=False,
    )
    order = words.order(shop.source, out / "prediction.json")
    files = request.sensitivity or tuple(filter(None, [shipped_sensitivity(request.model)]))
    subject = open_subject(
        order.table, list(files), (), PAPER_METRICS, PAPER_SHARE, order.resolution, Objective.SCORES
    )
    drawn = list(draw_plans(subject, request.plan_count, _LOW, _HIGH, (_ACTIVATION_BITS,), request.seed))
    report = predict(order, subject, drawn, Forms(bos_aware=True, split_shortcuts=True))
    report.write(out / "prediction.json")
    return contest_of(report, out)


def contest_of(report: PredictionReport, folder: Path) -> Made:
    """A row a budget, two columns a kind of plan; `fig8.png` in the folder."""
    kinds = list(dict.fromkeys(plan.kind for plan in report.plans))
    save(contest_figure(report), folder / _FILE)
    return Made(
        columns=[
            Column(f"{what} {kind}", f"{heading}, {kind}", digits)
            for what, heading, digits in (("objective", "objective", 3), ("psnr_db", "PSNR dB", 1))
            for kind in kinds
        ],
        rows=list(_rows(report.plans)),
        findings=list(_findings(report)),
        plots=[_FILE],
        settings={
            "drawn by": "simulation in torch",
            "judged on": f"{report.conditions.prompts} prompts",
        },
    )


def _rows(plans: Sequence[JudgedPlan]) -> Iterator[ResultRow]:
    for budget in dict.fromkeys(plan.budget for plan in plans):
        some = [plan for plan in plans if plan.budget == budget]
        objectives = {f"objective {plan.kind}": Figure(plan.expected[OBJECTIVE]) for plan in some}
        measured = {f"psnr_db {plan.kind}": Figure(plan.fidelity[Measure.PSNR]) for plan in some}
        yield ResultRow(budget, budget, ours=objectives | measured)


def _findings(report: PredictionReport) -> Iterator[str]:
    for one in report.contests:
        yield (
            f"against {one.kind}: the optimum's objective is no less at {one.no_less_objective} of "
            f"{one.budgets} budgets; its pictures are no worse by PSNR at {one.no_worse[Measure.PSNR]}, "
            f"on average {one.gain[Measure.PSNR]:+.2f} dB"
        )
    found = report.overall(OBJECTIVE, Measure.PSNR)
    if found is not None and found.rho is not None:
        yield f"the objective and PSNR: Spearman's rho {found.rho:+.2f} over {found.plans} plans"


def contest_figure(report: PredictionReport) -> Plot:
    """A line a kind over the budgets: its objective on the left, what its pictures measure on the right."""
    kinds = list(dict.fromkeys(plan.kind for plan in report.plans))
    with styled():
        figure = new_figure(_HEIGHT_IN, f"{report.model}: ways to spend the same bits")
        left, right = figure.subplots(1, 2)
        for kind, colour in zip(kinds, _COLOURS, strict=False):
            plans = [plan for plan in report.plans if plan.kind == kind]
            bits = [float(plan.budget[1:].partition("A")[0]) for plan in plans]
            _line(left, bits, [plan.expected[OBJECTIVE] for plan in plans], kind, colour)
            _line(right, bits, [plan.fidelity[Measure.PSNR] for plan in plans], kind, colour)
        left.set_ylabel("objective (summed shares)")
        right.set_ylabel("PSNR of the pictures, dB")
        for axes in (left, right):
            axes.set_xlabel("budget, mean weight bits")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return figure


def _line(axes: Axes, bits: Sequence[float], values: Sequence[float], kind: str, colour: str) -> None:
    best = kind == "optimum"
    axes.plot(
        bits,
        values,
        marker="o",
        markersize=3.5,
        linewidth=2 if best else 1.1,
        color=colour,
        label=kind,
        zorder=3 if best else 2,
    )
