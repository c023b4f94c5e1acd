"""The loop: measure a plan, return layers, measure again; pure but for the measurement it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mixdq.compiler.legal.legalize import parts_of
from mixdq.compiler.tune.decision import Decision, Return, decide
from mixdq.compiler.tune.limits import Limits
from mixdq.compiler.tune.trial import Trial
from mixdq.configs.form import ActivationFormat, Form, Granularity, WeightFormat
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FP16

FLOAT_FORM = Form(WeightFormat.FLOAT, Granularity.NONE, ActivationFormat.FLOAT)


@dataclass(frozen=True, slots=True)
class Round:
    """A plan, what was measured of it, and what followed."""

    plan: PrecisionPlan
    trial: Trial
    decision: Decision


@dataclass(frozen=True, slots=True)
class Chosen:
    """How it ended.

    Attributes:
        best: the round to publish; None if there is none that may be.
        refusal: why nothing is published; empty if something is.
    """

    best: Round | None
    refusal: str


def tune(
    plan: PrecisionPlan,
    table: LayerTable,
    limits: Limits,
    float_bytes: int,
    measure: Callable[[PrecisionPlan], Trial],
) -> tuple[Round, ...]:
    """Measures a plan and returns layers until nothing is left to return; at least one round.

    It ends: every round but the last has fewer quantized layers than the one before. If all of them were
    returned, the last plan, which quantizes nothing, is not measured: it is full precision.

    Args:
        plan: made legal for the target; quantizes at least one layer.
        table: the model's layers.
        limits: the budgets.
        float_bytes: of the target's floating-point type.
        measure: builds a plan and measures it beside full precision.
    """
    rounds: list[Round] = []
    while plan.quantizes:
        trial = measure(plan)
        before = rounds[-1].trial if rounds else None
        decision = decide(trial, added_bytes(plan, table, float_bytes), limits, before)
        rounds.append(Round(plan, trial, decision))
        if not decision.returns:
            break
        plan = with_returned(plan, [one.layer for one in decision.returns])
    return tuple(rounds)


def choose(rounds: Sequence[Round], limits: Limits, *, allow_slower: bool) -> Chosen:
    """The fastest of the rounds that may be published.

    Where all layers were returned, an engine is published only if as a whole it is faster beyond the spread,
    which its layers are not: to be no slower is what full precision is too.

    Args:
        rounds: at least one.
        limits: the budgets.
        allow_slower: whether an engine may be slower than full precision.
    """
    last = rounds[-1]
    all_returned = bool(last.decision.returns)
    sound = [each for each in rounds if not any(limits.faults(each.trial))]
    allowed = [
        each
        for each in sound
        if allow_slower or each.trial.faster or not (all_returned or each.trial.slower_at)
    ]
    if allowed:
        return Chosen(min(allowed, key=lambda each: each.trial.ratio), "")
    ended = "all layers were returned" if all_returned else last.decision.stop
    if not sound:
        return Chosen(None, f"{ended}; of the last plan, {'; '.join(limits.faults(last.trial))}")
    fastest = min(sound, key=lambda each: each.trial.ratio).trial
    return Chosen(
        None,
        f"{ended}; the fastest quantized engine takes {fastest.ratio:.3f} times as long as full precision, "
        f"{_beyond(fastest)}; --allow-slower publishes it",
    )


def returns_until(rounds: Sequence[Round], last: Round) -> tuple[Return, ...]:
    """All layers that were returned before a round was measured."""
    before = rounds[: list(rounds).index(last)]
    return tuple(one for each in before for one in each.decision.returns)


def _beyond(trial: Trial) -> str:
    if not trial.slower_at:
        return "no less beyond the spread"
    return f"slower beyond the spread at {', '.join(map(str, trial.slower_at))} pixels"


def added_bytes(plan: PrecisionPlan, table: LayerTable, float_bytes: int) -> dict[LayerName, int]:
    """By how much each quantized layer of a legal plan grows in floating point."""
    assert plan.realization is not None
    found = {}
    for layer in table:
        if plan[layer.name].quantizes_weight:
            form = plan.realization.forms[layer.name]
            now = form.bytes(layer, float_bytes=float_bytes, parts=parts_of(plan, layer))
            found[layer.name] = FLOAT_FORM.bytes(layer, float_bytes=float_bytes, parts=1) - now
    return found


def with_returned(plan: PrecisionPlan, layers: Sequence[LayerName]) -> PrecisionPlan:
    """A legal plan with some of its layers in floating point; it stays legal."""
    assert plan.realization is not None
    forms = {**plan.realization.forms, **dict.fromkeys(layers, FLOAT_FORM)}
    return replace(
        plan,
        layers={**plan.layers, **dict.fromkeys(layers, FP16)},
        realization=replace(plan.realization, forms=forms),
    )
