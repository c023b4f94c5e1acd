"""Whether sensitivities foretell what a plan is worth."""

from __future__ import annotations

from collections.abc import Iterator

from mixdq.eval.prediction.drawing import NOISE, OBJECTIVE
from mixdq.eval.prediction.report import PredictionReport
from mixdq.eval.report.chart_plane import Axis, Point, Series, plane
from mixdq.eval.report.chart_shapes import Chart, series_style
from mixdq.eval.report.found import Document
from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Block, Figure, Heading, Section, Table
from mixdq.eval.report.words import cells, counted, fixed, significant
from mixdq.export.judgement import Measure

_DRAWN = 3
"""Predictors that have a chart."""
_PREDICTORS = {OBJECTIVE: "objective (summed shares)", NOISE: "SQNR if errors added up, dB"}
_MEASURES = {
    Measure.SQNR: "SQNR dB",
    Measure.X0_SQNR: "SQNR of x0, dB",
    Measure.PSNR: "PSNR dB",
    Measure.SSIM: "SSIM",
    Measure.WINDOWED_SSIM: "SSIM (windowed)",
}


def prediction_section(results: Results) -> Section:
    """Charts and correlations of each document."""
    blocks: list[Block] = []
    documents = results.found.predictions
    for place, document in enumerate(documents, start=1):
        if len(documents) > 1:
            blocks.append(Heading(document.name))
        blocks += _blocks(document, f"prediction-{place}")
    return Section("prediction", "Prediction", tuple(blocks))


def _blocks(document: Document[PredictionReport], key: str) -> Iterator[Block]:
    report = document.content
    predictors = list(dict.fromkeys(each.predictor for each in report.relations))
    kinds = list(dict.fromkeys(plan.kind for plan in report.plans))
    charts = [_chart(report, predictor, kinds) for predictor in _drawn(report, predictors)]
    yield Figure(
        f"{counted(len(report.plans), 'plan')} of {report.model}, each judged on "
        f"{counted(report.conditions.prompts, 'prompt')} at {report.conditions.resolution} pixels: what was "
        "promised, and the pictures' PSNR against full precision.",
        tuple(charts),
        tuple((series_style(place), kind) for place, kind in enumerate(kinds)),
    )
    yield Table(
        key=key,
        caption="Spearman's rank correlation of each predictor with what was measured, over all plans",
        heads=("predictor", *_MEASURES.values()),
        rows=tuple(
            cells(_words(predictor), *(_rho(report, predictor, measure) for measure in _MEASURES))
            for predictor in predictors
        ),
    )
    if report.contests:
        yield Table(
            key=f"{key}-contests",
            caption="The optimum of the objective against other plans of the same budgets, by PSNR",
            heads=("against", "no worse", "budgets", "mean gain dB"),
            rows=tuple(
                cells(
                    each.kind,
                    str(each.no_worse[Measure.PSNR]),
                    str(each.budgets),
                    significant(each.gain[Measure.PSNR]),
                )
                for each in report.contests
            ),
        )


def _drawn(report: PredictionReport, predictors: list[str]) -> list[str]:
    """The first, which is the paper's objective, and those that foretell best; none that never changes."""
    known = {
        predictor: abs(found.rho)
        for predictor in predictors
        if (found := report.overall(predictor, Measure.PSNR)) is not None and found.rho is not None
    }
    best = sorted(known, key=lambda predictor: known[predictor], reverse=True)
    first = [predictor for predictor in predictors[:1] if predictor in known]
    return list(dict.fromkeys([*first, *best]))[:_DRAWN]


def _chart(report: PredictionReport, predictor: str, kinds: list[str]) -> Chart:
    found = report.overall(predictor, Measure.PSNR)
    rho = "" if found is None or found.rho is None else f", ρ = {fixed(found.rho, 3)}"
    series = []
    for place, kind in enumerate(kinds):
        plans = [plan for plan in report.plans if plan.kind == kind and predictor in plan.expected]
        points = tuple(
            Point(plan.expected[predictor], plan.fidelity.psnr_db, hint=f"{kind}, {plan.budget}")
            for plan in plans
        )
        if points:
            series.append(Series(points, series_style(place)))
    words = _words(predictor)
    return plane(f"{words.removesuffix(', dB')}{rho}", series, Axis(words), Axis("PSNR dB"))


def _words(predictor: str) -> str:
    """A predictor for people; of a programme, `content.weight`, what it adds up."""
    if predictor in _PREDICTORS:
        return _PREDICTORS[predictor]
    group, _, operand = predictor.partition(".")
    return f"objective of {group} layers' {operand}s" if operand else predictor


def _rho(report: PredictionReport, predictor: str, measure: Measure) -> str:
    found = report.overall(predictor, measure)
    return "–" if found is None or found.rho is None else fixed(found.rho, 3)
