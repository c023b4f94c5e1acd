from __future__ import annotations

from collections.abc import Callable

from mixdq.eval.prediction.contest import contests
from mixdq.eval.prediction.judged import JudgedPlan
from mixdq.export.judgement import Measure

MakePlan = Callable[..., JudgedPlan]


def test_the_optimum_is_compared_with_each_baseline_of_its_budget(make_plan: MakePlan) -> None:
    plans = [
        make_plan("optimum", "W4A8", 3.0, 20.0),
        make_plan("random", "W4A8", 2.0, 10.0),
        make_plan("sorted", "W4A8", 3.0, 26.0),
        make_plan("optimum", "W8A8", 4.0, 40.0),
        make_plan("random", "W8A8", 4.5, 36.0),
        make_plan("sorted", "W8A8", 4.0, 40.0),
    ]
    random, order = contests(plans)
    assert (random.kind, random.budgets, random.no_less_objective) == ("random", 2, 1)
    assert random.no_worse[Measure.PSNR] == 2
    assert random.gain[Measure.PSNR] == 7.0
    assert (order.kind, order.no_less_objective) == ("sorted", 2)
    assert order.no_worse[Measure.SSIM] == 1
    assert order.gain[Measure.SSIM] == -3.0
