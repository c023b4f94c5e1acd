"""Rank correlations between what plans were expected to be worth and what they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pydantic.dataclasses import dataclass
from scipy.stats import spearmanr

from mixdq.configs.documents import STRICT
from mixdq.eval.prediction.judged import JudgedPlan
from mixdq.export.judgement import Measure

_LEAST = 4  # three plans are in one of six orders: nothing to correlate


@dataclass(frozen=True, slots=True, config=STRICT)
class Relation:
    """Spearman's correlation of a predictor with a measure.

    Attributes:
        predictor: what foretold.
        measure: what was measured.
        budget: the plans' common budget; None for all plans.
        plans: how many.
        rho: -1 to 1; None if one of the two is the same for all plans.
        p_value: of no correlation, two-sided; None likewise.
    """

    predictor: str
    measure: Measure
    budget: str | None
    plans: int
    rho: float | None
    p_value: float | None


def relations(plans: Sequence[JudgedPlan]) -> Iterator[Relation]:
    """Every predictor with every measure, over all plans and within each budget."""
    budgets = list(dict.fromkeys(plan.budget for plan in plans))
    for budget in (None, *budgets):
        some = [plan for plan in plans if budget in (None, plan.budget)]
        if len(some) < _LEAST:
            continue
        # Activations of some budgets stay in FP16 and have no objective.
        known = [name for name in some[0].expected if all(name in plan.expected for plan in some)]
        for predictor in known:
            for measure in Measure:
                expected = [plan.expected[predictor] for plan in some]
                yield _relation(predictor, measure, budget, expected, [p.fidelity[measure] for p in some])


def _relation(
    predictor: str, measure: Measure, budget: str | None, expected: list[float], found: list[float]
) -> Relation:
    if len(set(expected)) == 1 or len(set(found)) == 1:
        return Relation(predictor, measure, budget, len(found), None, None)
    result = spearmanr(expected, found)
    rho, p_value = float(result.statistic), float(result.pvalue)
    assert math.isfinite(rho)
    return Relation(predictor, measure, budget, len(found), rho, p_value)
