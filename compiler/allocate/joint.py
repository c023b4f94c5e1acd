"""One programme over all layers' pairs of bits, with budgets in bits, bytes and microseconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from mixdq.compiler.allocate.allocation import Allocation
from mixdq.compiler.allocate.layer_times import LayerTimes
from mixdq.compiler.allocate.programme import Budget, Choice, Item, Programme
from mixdq.compiler.allocate.solver import Solution
from mixdq.compiler.allocate.subject import Part, Subject
from mixdq.compiler.legal.menu import Menu
from mixdq.configs.errors import PlanError
from mixdq.configs.layers import LayerName, LayerSpec
from mixdq.configs.precision import FLOAT_BITS, Precision
from mixdq.configs.sensitivity import Operand

GIB_IN_BITS = 2**33
MS_IN_NS = 10**6
MOST_BITS = 8
"""No larger mean can be asked for."""

_OPTIONS = {
    "weight_bits": ("--weight-bits", ""),
    "activation_bits": ("--activation-bits", ""),
    "memory_gib": ("--memory", "GiB"),
    "latency_ms": ("--latency-ms", ""),
}
"""What a budget is asked for with, and its unit there."""

_BITS_OF_A_BYTE = 8


@dataclass(frozen=True, slots=True)
class JointBudgets:
    """What the layers may cost together; None where nothing is asked for. At least one is given.

    Attributes:
        weight_bits: mean, weighted by the number of weights.
        activation_bits: mean over the layers that are not protected, weighted by the values they read; 16 to
            leave all activations in FP16.
        memory_gib: of the weights, packed to their widths; of a target's as it stores them, with the scales.
        latency_ms: of one run of the UNet.

    Raises:
        PlanError: a budget that is none.
    """

    weight_bits: float | None
    activation_bits: float | None
    memory_gib: float | None
    latency_ms: float | None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not 0 < value < math.inf:
                option, unit = _OPTIONS[field.name]
                raise PlanError(
                    f"{option} {value:g}{unit} is no budget; give a positive, finite number"
                    f"{' and a unit' if unit else ''}"
                )
        for operand, bits in (("weight", self.weight_bits), ("activation", self.activation_bits)):
            if bits is not None and bits > MOST_BITS and (operand, bits) != ("activation", FLOAT_BITS):
                others = ", or 16 to leave all activations in FP16" if operand == "activation" else ""
                raise PlanError(
                    f"a mean of {bits:g} {operand} bits is more than any width to choose from; give at most "
                    f"{MOST_BITS}{others}"
                )


def joint_programme(
    subject: Subject, budgets: JointBudgets, times: LayerTimes | None
) -> Programme[Precision]:
    """All groups and operands at once.

    Scores of different parts are not alike (SSIM, dB), so each part counts with its share of what there is
    to gain: 0 if all of its layers have their worst choice, 1 if all have their best. The objective is the
    sum of the parts' shares, 4 at most.

    With a menu the choices are those of its precisions whose widths are offered. There an activation that is
    not protected may stay in floating point too, where that alone makes fewer weight bits legal; it scores as
    its largest width does, since nobody measured more.

    Raises:
        PlanError: no budget, a latency without times, or a layer without a choice that is legal, or that was
            measured.
    """
    if budgets.latency_ms is not None and times is None:
        raise PlanError(
            "a budget of latency needs measured times; measure them with `mixdq-eval latency --layers`"
        )
    gains = {part: _Gain.of(subject, part) for part in Part}
    bounds = _budgets(subject, budgets, times)
    if not bounds:
        raise PlanError("nothing bounds the joint programme; give a budget of bits, memory or latency")
    return Programme(tuple(_item(subject, layer, budgets, times, gains) for layer in subject.table), bounds)


def allocation_of(subject: Subject, solution: Solution[Precision]) -> Allocation:
    """The joint programme's choices as bits."""
    chosen = solution.programme.values(solution.chosen)
    return Allocation(
        subject,
        {name: precision.weight_bits for name, precision in chosen.items()},
        {name: p.activation_bits for name, p in chosen.items() if p.activation_bits != FLOAT_BITS},
    )


def scaled_score(subject: Subject, part: Part, bits: Mapping[LayerName, int]) -> float:
    """A part's share of what there is to gain by its widths, 0 to 1; see `joint_programme`."""
    gain = _Gain.of(subject, part)
    return sum(gain.of_layer(subject, layer, bits[layer.name]) for layer in subject.layers(part))


@dataclass(frozen=True, slots=True)
class _Gain:
    """How a part's scores become shares."""

    part: Part
    worst: Mapping[LayerName, float]
    whole: float

    @classmethod
    def of(cls, subject: Subject, part: Part) -> _Gain:
        scores = {
            layer.name: [subject.score(part, layer, bits) for bits in subject.widths[part]]
            for layer in subject.layers(part)
        }
        whole = sum(max(row) - min(row) for row in scores.values())
        return cls(part, {name: min(row) for name, row in scores.items()}, whole)

    def of_layer(self, subject: Subject, layer: LayerSpec, bits: int) -> float:
        if layer.name not in self.worst or not self.whole:
            return 0.0
        return (subject.score(self.part, layer, bits) - self.worst[layer.name]) / self.whole


def _item(
    subject: Subject,
    layer: LayerSpec,
    budgets: JointBudgets,
    times: LayerTimes | None,
    gains: Mapping[Part, _Gain],
) -> Item[Precision]:
    weight, activation = (part for part in Part if part.group is layer.group)
    choices = []
    for precision in _precisions(subject, layer, weight, activation, budgets, times):
        score = gains[weight].of_layer(subject, layer, precision.weight_bits)
        if precision.quantizes_activation:
            score += gains[activation].of_layer(subject, layer, precision.activation_bits)
        elif subject.menu is not None:
            score += gains[activation].of_layer(subject, layer, subject.widths[activation][-1])
        choices.append(Choice(precision, score, tuple(_costs(subject, layer, precision, budgets, times))))
    return Item(layer.name, tuple(choices))


def _precisions(
    subject: Subject,
    layer: LayerSpec,
    weight: Part,
    activation: Part,
    budgets: JointBudgets,
    times: LayerTimes | None,
) -> Sequence[Precision]:
    """The pairs of widths, of a menu's those that it has; with a budget of latency those measured."""
    floating = layer.name in subject.protected or budgets.activation_bits == FLOAT_BITS
    activations = (FLOAT_BITS,) if floating else subject.widths[activation]
    pairs = [Precision(w, a) for w in subject.widths[weight] for a in activations]
    if subject.menu is not None:
        pairs = _legal(subject.menu, layer, pairs)
    if times is None or budgets.latency_ms is None:
        return pairs
    return times.measured(layer.name, pairs)


def _legal(menu: Menu, layer: LayerSpec, pairs: Sequence[Precision]) -> list[Precision]:
    """Of the pairs, and of their weights beside floating point, those that a layer may get."""
    # Floating point comes last: of choices that cost and score alike the first is taken.
    wider = dict.fromkeys(Precision(pair.weight_bits, FLOAT_BITS) for pair in pairs)
    found = [pair for pair in dict.fromkeys([*pairs, *wider]) if pair in menu.forms[layer.name]]
    if not found:
        runs = ", ".join(f"{precision}" for precision in menu.forms[layer.name]) or "nothing"
        raise PlanError(
            f"{menu.target} runs {layer.name} as {runs}, and the programme may choose "
            f"{', '.join(map(str, pairs))}; offer other widths with --widths, or choose another target"
        )
    return found


def _budgets(subject: Subject, budgets: JointBudgets, times: LayerTimes | None) -> tuple[Budget, ...]:
    """In the order of `_costs`."""
    made = []
    if budgets.weight_bits is not None:
        made.append(
            Budget(
                "mean weight bits",
                budgets.weight_bits,
                sum(layer.weights for layer in subject.table),
                option="--weight-bits",
            )
        )
    if budgets.activation_bits not in (None, FLOAT_BITS):
        assert budgets.activation_bits is not None
        parts = (part for part in Part if part.operand is Operand.ACTIVATION)
        made.append(
            Budget(
                "mean activation bits",
                budgets.activation_bits,
                sum(subject.total(part) for part in parts),
                option="--activation-bits",
            )
        )
    if budgets.memory_gib is not None:
        what = "packed weights" if subject.menu is None else f"weights and scales on {subject.menu.target}"
        made.append(Budget(what, budgets.memory_gib, GIB_IN_BITS, option="--memory", memory=True))
    if budgets.latency_ms is not None and times is not None:
        made.append(
            Budget(
                "milliseconds of the UNet",
                budgets.latency_ms,
                MS_IN_NS,
                fixed=times.rest,
                option="--latency-ms",
            )
        )
    return tuple(made)


def _costs(
    subject: Subject, layer: LayerSpec, precision: Precision, budgets: JointBudgets, times: LayerTimes | None
) -> Iterable[int]:
    if budgets.weight_bits is not None:
        yield layer.weights * precision.weight_bits
    if budgets.activation_bits not in (None, FLOAT_BITS):
        protected = layer.name in subject.protected
        yield 0 if protected else subject.size(Operand.ACTIVATION, layer) * precision.activation_bits
    if budgets.memory_gib is not None:
        if subject.menu is None:
            yield layer.weights * precision.weight_bits
        else:
            yield _BITS_OF_A_BYTE * subject.menu.bytes[layer.name][precision]
    if budgets.latency_ms is not None and times is not None:
        yield times.nanoseconds[layer.name][precision]
