from __future__ import annotations

from collections.abc import Callable

import pytest

from mixdq.eval.prediction.judged import JudgedPlan
from mixdq.eval.prediction.relation import Relation, relations
from mixdq.export.judgement import Measure

MakePlan = Callable[..., JudgedPlan]


def _find(found: list[Relation], budget: str | None, predictor: str = "objective") -> Relation:
    (one,) = (
        each
        for each in found
        if (each.predictor, each.measure, each.budget) == (predictor, Measure.PSNR, budget)
    )
    return one


def test_spearmans_rho_by_hand(make_plan: MakePlan) -> None:
    # Ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 * 4 / (5 * 24) = 0.8
    measured = (20.0, 10.0, 40.0, 30.0, 1000.0)
    plans = [make_plan(str(n), "W5A8", n, value) for n, value in enumerate(measured)]
    found = list(relations(plans))
    assert _find(found, None).rho == pytest.approx(0.8)
    assert _find(found, None).plans == 5
    assert _find(found, None, "added_noise_db").rho == pytest.approx(-0.8)


def test_within_a_budget_the_order_may_be_the_other_one(make_plan: MakePlan) -> None:
    plans = [make_plan(str(n), "W4A8", n, -n) for n in range(4)]
    plans += [make_plan(str(n), "W8A8", 100 + n, 100 - n) for n in range(4)]
    found = list(relations(plans))
    assert _find(found, "W4A8").rho == pytest.approx(-1)
    assert _find(found, "W8A8").rho == pytest.approx(-1)
    assert (_find(found, None).rho or 0) > 0.4


def test_figures_that_never_change_have_no_correlation(make_plan: MakePlan) -> None:
    found = list(relations([make_plan(str(n), "W4A8", 1.0, n) for n in range(5)]))
    assert _find(found, None).rho is None
    assert _find(found, None).p_value is None


def test_budgets_of_three_plans_are_left_out(make_plan: MakePlan) -> None:
    plans = [make_plan(str(n), f"W{n // 3}A8", n, n) for n in range(9)]
    assert {each.budget for each in relations(plans)} == {None}
