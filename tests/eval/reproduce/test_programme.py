from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixdq.compiler.search.journal import Conditions
from mixdq.eval.prediction.contest import contests
from mixdq.eval.prediction.judged import JudgedPlan
from mixdq.eval.prediction.relation import relations
from mixdq.eval.prediction.report import PredictionReport
from mixdq.eval.reproduce.programme import contest_figure, contest_of
from mixdq.export.judgement import Fidelity


def _plan(kind: str, bits: float, objective: float, measured: float) -> JudgedPlan:
    figures = Fidelity(measured, measured, measured, measured, measured)
    expected = {"objective": objective, "added_noise_db": measured}
    return JudgedPlan(kind, f"W{bits:g}A8", f"{kind} {bits}", bits, 8.0, expected, figures)


@pytest.fixture
def report() -> PredictionReport:
    """Two budgets: by its objective the optimum is ahead in both, by what is measured in one."""
    plans = (
        _plan("optimum", 4.5, 0.9, 20.0),
        _plan("random", 4.5, 0.3, 24.0),
        _plan("optimum", 7, 0.95, 30.0),
        _plan("random", 7, 0.5, 28.0),
    )
    conditions = Conditions("m", "l", "r", 32, "p", 0, 128, "ort", "cpu", 1, 8, "2", "c")
    return PredictionReport(
        "four", "s" * 64, conditions, plans, tuple(relations(plans)), tuple(contests(plans))
    )


def test_a_row_is_a_budget_with_every_kind_of_plan(report: PredictionReport, tmp_path: Path) -> None:
    made = contest_of(report, tmp_path)
    assert [row.name for row in made.rows] == ["W4.5A8", "W7A8"]
    assert [column.key for column in made.columns] == [
        "objective optimum",
        "objective random",
        "psnr_db optimum",
        "psnr_db random",
    ]
    assert {key: figure.value for key, figure in made.rows[1].ours.items()} == {
        "objective optimum": 0.95,
        "objective random": 0.5,
        "psnr_db optimum": 30.0,
        "psnr_db random": 28.0,
    }


def test_the_finding_says_who_is_ahead_in_the_objective_and_as_measured(
    report: PredictionReport, tmp_path: Path
) -> None:
    first, *_ = contest_of(report, tmp_path).findings
    assert first == (
        "against random: the optimum's objective is no less at 2 of 2 budgets; its pictures are no worse by "
        "PSNR at 1, on average -1.00 dB"
    )


def test_the_plot_has_a_line_a_kind_over_the_budgets(report: PredictionReport, tmp_path: Path) -> None:
    objective, measured = contest_figure(report).axes
    lines = [np.asarray(line.get_xydata()).tolist() for line in objective.lines]
    assert lines == [[[4.5, 0.9], [7.0, 0.95]], [[4.5, 0.3], [7.0, 0.5]]]
    assert len(measured.lines) == 2
    contest_of(report, tmp_path)
    with Image.open(tmp_path / "fig8.png") as picture:
        assert picture.size[0] > 1000
