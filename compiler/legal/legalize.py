"""A wish to what a target runs: each layer's cheapest legal form with at least the asked bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mixdq.compiler.allocate.layer_times import LayerTimes
from mixdq.compiler.legal.choices import Rules, answers
from mixdq.compiler.legal.reasons import reason_of
from mixdq.configs.errors import TargetError
from mixdq.configs.form import Form
from mixdq.configs.layers import LayerName, LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan, Realization
from mixdq.configs.precision import Precision

_REASONS = 4
_NEVER_NS = 2**63
"""What a form counts as that nobody timed: longer than any that was."""


@dataclass(frozen=True, slots=True)
class Change:
    """A layer that does not run as it was asked.

    Attributes:
        layer: its name.
        asked: the plan's precision.
        form: what it gets.
        reason: why the target has nothing nearer.
    """

    layer: LayerName
    asked: Precision
    form: Form
    reason: str


@dataclass(frozen=True, slots=True)
class Legalized:
    """A plan that a target runs as it stands.

    Attributes:
        plan: with its realization.
        changes: in the order of the model's layers.
    """

    plan: PrecisionPlan
    changes: tuple[Change, ...]


def legalize(
    plan: PrecisionPlan,
    table: LayerTable,
    rules: Rules,
    *,
    strict: bool = False,
    times: LayerTimes | None = None,
) -> Legalized:
    """Gives every layer the form of the fewest bytes among the legal ones with at least its bits.

    Of several that take the same bytes the fastest, if there are times (one that was not measured comes
    after those that were); then by `choices.preference`. The same plan made legal once more is the same.

    Args:
        plan: of this model; not made legal for another target.
        table: the model's layers.
        rules: the target, and what may be chosen there.
        strict: whether to refuse a plan that does not run as asked, instead of changing it.
        times: of the layers on this target.

    Raises:
        PlanError: the plan is not one of this model.
        TargetError: it was made legal for another target; nothing that the target runs answers a layer, as
            FP8 where there is none; or, if `strict`, layers would change: the first of each reason is named.
    """
    plan.check(table)
    plan.check_target(str(rules.capability))
    form_of = _Forms(plan, rules, times)
    forms = {layer.name: form_of(layer) for layer in table}
    changes = tuple(
        Change(name, plan[name], form, form_of.reason(table[name]))
        for name, form in forms.items()
        if form.precision != plan[name]
    )
    if strict and changes:
        raise _refusal(changes, rules)
    layers = {name: forms[name].precision for name in plan.layers}
    realization = Realization(str(rules.capability), {name: forms[name] for name in plan.layers})
    return Legalized(replace(plan, layers=layers, realization=realization), changes)


def cheapest(
    layer: LayerSpec, asked: Precision, rules: Rules, *, parts: int, nanoseconds: Mapping[Precision, int]
) -> Form | None:
    """The form that a layer gets, None if nothing that is legal has enough bits.

    Args:
        layer: the layer.
        asked: of it.
        rules: the target, and what may be chosen there.
        parts: 2 for a shortcut that is split.
        nanoseconds: the layer's times by precision, those that are known.
    """
    float_bytes = rules.capability.table.float_bytes
    offered = [form for form in rules.forms(layer) if answers(form, asked)]
    return min(
        offered,
        key=lambda form: (
            form.bytes(layer, float_bytes=float_bytes, parts=parts),
            nanoseconds.get(form.precision, _NEVER_NS),
        ),
        default=None,
    )


def parts_of(plan: PrecisionPlan, layer: LayerSpec) -> int:
    """Into how many parts a layer's weight is divided, each with scales of its own."""
    return 2 if plan.splits(layer) else 1


class _Forms:
    """The form of each layer of a plan; layers that are alike, of which SDXL has many, are looked at once."""

    def __init__(self, plan: PrecisionPlan, rules: Rules, times: LayerTimes | None) -> None:
        self._plan, self._rules, self._times = plan, rules, times
        self._found: dict[object, Form | None] = {}
        self._reasons: dict[object, str] = {}

    def __call__(self, layer: LayerSpec) -> Form:
        before = self._plan.realization
        if before is not None and before.forms[layer.name] in self._rules.forms(layer):
            return before.forms[layer.name]
        asked, parts = self._plan[layer.name], parts_of(self._plan, layer)
        known = {} if self._times is None else self._times.nanoseconds[layer.name]
        key = (layer.kind, layer.weight_shape, parts, asked, *known.items())
        if key not in self._found:
            self._found[key] = cheapest(layer, asked, self._rules, parts=parts, nanoseconds=known)
        if (found := self._found[key]) is None:
            raise _unanswered(self._plan, layer, self._rules)
        return found

    def reason(self, layer: LayerSpec) -> str:
        asked = self._plan[layer.name]
        key = (layer.kind, layer.weight_shape[1], asked)
        if key not in self._reasons:
            self._reasons[key] = reason_of(asked, layer, self._rules)
        return self._reasons[key]


def _unanswered(plan: PrecisionPlan, layer: LayerSpec, rules: Rules) -> TargetError:
    asked = plan[layer.name]
    count = sum(one == asked for one in plan.layers.values())
    return TargetError(
        f"{rules.capability} has nothing that answers {asked}, which the plan asks of {layer.name} (of "
        f"{count} layers): {reason_of(asked, layer, rules)}; change these layers in the plan, or choose "
        "another target (`mixdq-compile targets` lists what each takes)"
    )


def _refusal(changes: tuple[Change, ...], rules: Rules) -> TargetError:
    alike: dict[tuple[Precision, str], list[LayerName]] = {}
    for change in changes:
        alike.setdefault((change.asked, change.reason), []).append(change.layer)
    said = [
        f"{asked} of {names[0]}{f' and {len(names) - 1} more' if names[1:] else ''} ({reason})"
        for (asked, reason), names in alike.items()
    ]
    more = f", and {len(said) - _REASONS} more reasons" if len(said) > _REASONS else ""
    return TargetError(
        f"{rules.capability} does not run {len(changes)} layers as the plan asks: "
        f"{', '.join(said[:_REASONS])}{more}; leave out --strict to get the nearest that it runs"
    )
