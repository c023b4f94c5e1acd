from __future__ import annotations

import math

import pytest

from mixdq.compiler.allocate.allocation import Allocation
from mixdq.compiler.allocate.subject import Subject
from mixdq.configs.errors import EvaluationError
from mixdq.configs.sensitivity import Operand
from mixdq.eval.prediction.drawing import LEAST_NOISE, OBJECTIVE, added_noise_db, check_request, draw_plans


def test_every_budget_has_the_optimum_and_each_other_way_to_spend_it(subject: Subject) -> None:
    drawn = list(draw_plans(subject, 30, 4.5, 7.5, (8.0, 6.0), 0))
    assert len(drawn) == 30
    kinds = ["optimum", LEAST_NOISE, "random", "perturbed", "sorted", "sqnr"]
    assert [each.candidate.kind for each in drawn] == kinds * 5
    assert [each.budget for each in drawn[::6]] == ["W4.5A8", "W5.25A6", "W6A8", "W6.75A6", "W7.5A8"]


def test_no_plan_spends_more_than_its_budget_nor_has_more_objective_than_the_optimum(
    subject: Subject,
) -> None:
    drawn = list(draw_plans(subject, 30, 4.5, 7.5, (8.0, 6.0), 0))
    for number, each in enumerate(drawn):
        assert each.candidate.allocation is not None
        assert each.candidate.allocation.mean_bits(Operand.WEIGHT) <= each.weight_bits + 1e-9
        assert each.candidate.allocation.mean_bits(Operand.ACTIVATION) <= each.activation_bits + 1e-9
        best = drawn[number - number % 6]
        if each.candidate.kind != "sqnr":  # which may spend one group's bits on the other
            assert each.expected[OBJECTIVE] <= best.expected[OBJECTIVE] + 1e-9


def test_the_same_seed_draws_the_same_plans(subject: Subject) -> None:
    one, two, other = (
        [each.expected for each in draw_plans(subject, 30, 4.5, 7.5, (6.0,), seed)] for seed in (0, 0, 1)
    )
    assert one == two != other


def test_noise_is_added_in_power(subject: Subject) -> None:
    names = [layer.name for layer in subject.table]
    # Four weights at 40 dB and three activations at 20 dB: 4e-4 + 3e-2.
    allocation = Allocation(subject, dict.fromkeys(names, 8), dict.fromkeys(names[1:], 4))
    assert added_noise_db(allocation) == pytest.approx(-10 * math.log10(0.0304))


@pytest.mark.parametrize(
    ("count", "low", "high", "message"),
    [(29, 4, 8, "at least 30"), (60, 5, 5, "no range"), (60, 0, 8, "no range"), (60, 4, 9, "8 at most")],
)
def test_too_few_plans_or_no_range_of_budgets_are_refused(
    count: int, low: float, high: float, message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        check_request(count, low, high)
