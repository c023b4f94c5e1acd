"""Draws the plans, has them judged, and compares what was expected with what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from mixdq.compiler.allocate.subject import Subject
from mixdq.compiler.search.judging import JudgeOrder
from mixdq.compiler.search.searching import Forms, judge
from mixdq.configs.sensitivity import Operand
from mixdq.eval.prediction.contest import contests
from mixdq.eval.prediction.drawing import Drawn
from mixdq.eval.prediction.judged import JudgedPlan
from mixdq.eval.prediction.relation import relations
from mixdq.eval.prediction.report import PredictionReport


def predict(order: JudgeOrder, subject: Subject, drawn: Sequence[Drawn], forms: Forms) -> PredictionReport:
    """The report on plans that were drawn.

    Args:
        order: on what plans are judged.
        subject: what they were allocated from.
        drawn: the plans.
        forms: how they are quantized.

    Raises:
        MixdqError: see `judge_plans`.
    """
    plans = [plan for _, plan in forms.plans([each.candidate for each in drawn]) if plan is not None]
    done = judge(order, plans).value
    judged = []
    for each, plan in zip(drawn, plans, strict=True):
        allocation = each.candidate.allocation
        assert allocation is not None
        judged.append(
            JudgedPlan(
                kind=each.candidate.kind,
                budget=each.budget,
                plan=plan.digest,
                weight_bits=allocation.mean_bits(Operand.WEIGHT),
                activation_bits=allocation.mean_bits(Operand.ACTIVATION),
                expected=each.expected,
                fidelity=done.fidelities[plan.digest],
            )
        )
    return PredictionReport(
        model=order.table.model.name,
        sensitivity_digest=subject.sensitivity.digest,
        conditions=done.conditions,
        plans=tuple(judged),
        relations=tuple(relations(judged)),
        contests=tuple(contests(judged)),
    )
