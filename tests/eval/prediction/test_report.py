from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from mixdq.compiler.explain.plot_style import save
from mixdq.compiler.search.journal import Conditions
from mixdq.configs.documents import read_json
from mixdq.configs.errors import EvaluationError
from mixdq.eval.prediction.contest import contests
from mixdq.eval.prediction.judged import JudgedPlan
from mixdq.eval.prediction.plot import prediction_figure
from mixdq.eval.prediction.relation import relations
from mixdq.eval.prediction.report import PredictionReport

MakePlan = Callable[..., JudgedPlan]


@pytest.fixture
def report(make_plan: MakePlan) -> PredictionReport:
    """Two budgets; the objective has the order of the measures but for two plans."""
    figures = {"optimum": (3, 3), "random": (0, 0), "perturbed": (2, 1), "sorted": (1, 2)}
    plans = tuple(
        make_plan(kind, f"W{bits}A8", bits + expected, bits + found)
        for bits in (4, 8)
        for kind, (expected, found) in figures.items()
    )
    conditions = Conditions("m", "l", "r", 32, "p", 0, 128, "ort", "cpu", 1, 8, "2", "c")
    return PredictionReport(
        "four", "s" * 64, conditions, plans, tuple(relations(plans)), tuple(contests(plans))
    )


def _words(report: PredictionReport) -> str:
    console = Console(file=io.StringIO(), width=200)
    for part in report.in_words():
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_report_is_read_as_it_was_written(report: PredictionReport, tmp_path: Path) -> None:
    report.write(tmp_path / "prediction.json")
    assert read_json(PredictionReport, tmp_path / "prediction.json", EvaluationError) == report


def test_the_plans_are_listed_with_what_was_expected_and_found(
    report: PredictionReport, tmp_path: Path
) -> None:
    report.write_csv(tmp_path / "prediction.csv")
    with (tmp_path / "prediction.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert (rows[3]["kind"], rows[3]["objective"], rows[3]["psnr_db"]) == ("sorted", "5.0", "6.0")


def test_a_strong_correlation_is_told_with_its_chance(report: PredictionReport) -> None:
    # Of eight ranks two pairs change places: 1 - 6 * 4 / (8 * 63) = 0.952; within four: 0.8.
    text = _words(report)
    assert "the objective and psnr: rho +0.952 over 8 plans, at least 0.8; of added noise -0.952" in text
    assert "+0.952 (3e-04); +0.80" in text


def test_a_weak_correlation_is_called_so(report: PredictionReport, make_plan: MakePlan) -> None:
    plans = [make_plan(str(n), "W4A8", n, found) for n, found in enumerate((2, 1, 4, 3, 0))]
    text = _words(replace(report, relations=tuple(relations(plans))))
    assert "rho -0.200 over 5 plans, BELOW 0.8; of added noise +0.200" in text


def test_the_optimum_and_its_rivals_are_counted(report: PredictionReport) -> None:
    assert "2/2; +2.000" in _words(report)  # perturbed, in both budgets


def test_a_plot_has_a_panel_for_each_predictor_and_measure(report: PredictionReport, tmp_path: Path) -> None:
    figure = prediction_figure(report)
    assert len(figure.axes) == 6
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Spearman's rho +0.95"] * 3 + [
        "Spearman's rho -0.95"
    ] * 3
    save(figure, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.size[0] > 1000
