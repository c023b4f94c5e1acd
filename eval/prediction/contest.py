"""The optimum against each baseline within the same budgets: in the objective, and as measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic.dataclasses import dataclass

from mixdq.compiler.search.candidates import OPTIMUM
from mixdq.configs.documents import STRICT
from mixdq.eval.prediction.drawing import OBJECTIVE
from mixdq.eval.prediction.judged import JudgedPlan
from mixdq.export.judgement import Measure

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, config=STRICT)
class Contest:
    """One baseline over all budgets.

    Attributes:
        kind: the baseline.
        budgets: how many.
        no_less_objective: of them, where the optimum's objective is at least the baseline's.
        no_worse: of them, where the optimum measures at least as well, by measure.
        gain: how much better it measures on average, by measure.
    """

    kind: str
    budgets: int
    no_less_objective: int
    no_worse: dict[Measure, int]
    gain: dict[Measure, float]


def contests(plans: Sequence[JudgedPlan]) -> Iterator[Contest]:
    """Every kind of baseline against the optima of its budgets."""
    optima = {plan.budget: plan for plan in plans if plan.kind == OPTIMUM}
    for kind in dict.fromkeys(plan.kind for plan in plans if plan.kind != OPTIMUM):
        pairs = [(optima[plan.budget], plan) for plan in plans if plan.kind == kind]
        gains = {
            measure: [one.fidelity[measure] - other.fidelity[measure] for one, other in pairs]
            for measure in Measure
        }
        yield Contest(
            kind,
            len(pairs),
            sum(one.expected[OBJECTIVE] >= other.expected[OBJECTIVE] - _ROUNDING for one, other in pairs),
            {measure: sum(gain >= 0 for gain in found) for measure, found in gains.items()},
            {measure: sum(found) / len(found) for measure, found in gains.items()},
        )
