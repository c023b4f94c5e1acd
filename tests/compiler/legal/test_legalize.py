from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mixdq.compiler.allocate.layer_times import LayerTimes
from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.legalize import cheapest, legalize
from mixdq.configs.capability import capabilities_of, find_capability, shipped_capabilities
from mixdq.configs.errors import DigestError, PlanError, TargetError
from mixdq.configs.form import Form
from mixdq.configs.layers import LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import FP8, FP16, Precision

_TO_Q = LayerName("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q")
_TO_K = LayerName("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k")
_ODD = LayerName("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0")
_SHORTCUT = LayerName("up_blocks.0.resnets.0.conv_shortcut")
_CONV_IN = LayerName("conv_in")


def _rules(target: str = "rtx:sm89", *, block: int | None = None, unwritten: bool = True) -> Rules:
    return Rules(find_capability(target), block, unwritten)


def _plan(table: LayerTable, precision: Precision, **others: Precision) -> PrecisionPlan:
    plan = uniform_plan(table, precision, keep=(), protect=(), bos_aware=True, split_shortcuts=True)
    return replace(plan, layers={**plan.layers, **{LayerName(n): p for n, p in others.items()}})


def _random_plan(table: LayerTable, draw: random.Random) -> PrecisionPlan:
    def precision() -> Precision:
        weight = draw.choice((2, 3, 4, 5, 6, 7, 8, 16))
        return FP16 if weight == 16 else Precision(weight, draw.choice((2, 4, 6, 8, 16)))

    plan = _plan(table, FP16)
    return replace(
        plan, layers={name: precision() for name in plan.layers}, split_shortcuts=draw.random() < 0.5
    )


def _enough(form: Form, asked: Precision) -> bool:
    widths = {"float": 16, "int8": 8, "uint8": 8, "int4": 4, "int2": 2, "fp8": 0}
    return widths[form.weight] >= asked.weight_bits and widths[form.activation] >= asked.activation_bits


def _size(form: Form, layer: LayerSpec, scale: int, halves: int) -> float:
    """Bytes, worked out from the form's name."""
    name = str(form).split("/")[0]
    each = {"float": 0.0, "int8": 1.0, "int4": 0.5, "int2": 0.25, "fp8": 1.0}[name.split(":")[0]]
    if name == "float":
        return layer.weights * scale
    scales = layer.weight_shape[0] * halves
    if "block" in name:
        scales = layer.weights // int(name.split("block")[1])
    whole = layer.weights * each
    return -(-whole // 1) + scales * scale


def _offered(rules: Rules, layer: LayerSpec, asked: Precision) -> Iterator[Form]:
    for entry in rules.capability.table.entries:
        sm = rules.capability.sm
        legal = entry.legal if isinstance(entry.legal, bool) else sm in entry.legal
        if layer.kind not in entry.kinds or not legal or not (entry.emitted or rules.unwritten):
            continue
        name = str(entry.form)
        if ":tensor" in name or ("block" in name and layer.weight_shape[1] % int(name[10:].split("/")[0])):
            continue
        if layer.name == _ODD and name.startswith(("int4", "int2")):
            continue
        if _enough(entry.form, asked):
            yield entry.form


@pytest.mark.parametrize("seed", range(40))
def test_each_layer_gets_the_fewest_bytes_that_trying_everything_finds(layers: LayerTable, seed: int) -> None:
    draw = random.Random(seed)
    targets = [one for table in shipped_capabilities() if table.built for one in capabilities_of(table)]
    rules = Rules(draw.choice(targets), None, draw.random() < 0.7)
    plan = _random_plan(layers, draw)
    made = legalize(plan, layers, rules).plan
    assert made.realization is not None
    scale = 4 if rules.capability.sm is None else 2
    for layer in layers:
        halves = 2 if plan.split_shortcuts and layer.split else 1
        form, offered = made.realization.forms[layer.name], list(_offered(rules, layer, plan[layer.name]))
        assert form in offered
        size = _size(form, layer, scale, halves)
        assert size == min(_size(one, layer, scale, halves) for one in offered)
        alike = [one for one in offered if _size(one, layer, scale, halves) == size]
        assert form.activation.bits == min(one.activation.bits for one in alike)


@pytest.mark.parametrize("seed", range(10))
def test_of_equal_bytes_the_fastest_is_taken(layers: LayerTable, seed: int) -> None:
    draw = random.Random(seed)
    every = [Precision(w, a) for w in (2, 4, 8) for a in (8, 16)] + [FP16]
    times = LayerTimes(
        {layer.name: {p: draw.randrange(1, 10**6) for p in draw.sample(every, 5)} for layer in layers}, 0
    )
    rules, plan = _rules(), _random_plan(layers, draw)
    made = legalize(plan, layers, rules, times=times).plan
    assert made.realization is not None
    for layer in layers:
        form = made.realization.forms[layer.name]
        halves = 2 if plan.splits(layer) else 1
        alike = [
            one
            for one in _offered(rules, layer, plan[layer.name])
            if _size(one, layer, 2, halves) == _size(form, layer, 2, halves)
        ]
        known = times.nanoseconds[layer.name]
        taken = known.get(form.precision, 10**9)
        assert taken == min(known.get(one.precision, 10**9) for one in alike)


def test_a_legal_plan_is_left_alone_and_named_after_its_target(layers: LayerTable) -> None:
    plan = _plan(layers, Precision(8, 8), conv_in=FP16)
    made = legalize(plan, layers, _rules(unwritten=False))
    assert made.changes == ()
    assert made.plan.layers == plan.layers
    assert list(made.plan.layers) == list(plan.layers)
    assert made.plan.realization is not None
    assert made.plan.realization.target == "rtx:sm89"
    assert set(map(str, made.plan.realization.forms.values())) == {"int8:channel/int8", "float/float"}
    assert legalize(made.plan, layers, _rules(unwritten=False), strict=True).plan == made.plan


def test_two_bits_become_what_is_written_today_and_what_the_target_would_take(layers: LayerTable) -> None:
    plan = _plan(layers, Precision(2, 8))
    today = legalize(plan, layers, _rules("cpu", unwritten=False))
    packed = [layer.name for layer in layers if layer.name != _ODD]
    assert {today.plan[name] for name in packed} == {Precision(4, 8)}
    assert len(today.changes) == len(layers)
    assert {legalize(plan, layers, _rules("cpu")).plan[name] for name in packed} == {Precision(2, 16)}
    later = legalize(plan, layers, _rules(unwritten=False))
    assert later.plan[_TO_Q] == Precision(4, 8)
    # A convolution has four-bit weights with a float activation alone, which are fewer bytes than eight bits.
    assert later.plan[_CONV_IN] == Precision(4, 16)
    assert later.changes[0].reason == "rtx:sm89 has no W2A8 of a convolution"


def test_changes_say_why(layers: LayerTable) -> None:
    def reasons(precision: Precision, rules: Rules) -> set[str]:
        return {change.reason for change in legalize(_plan(layers, precision), layers, rules).changes}

    assert reasons(Precision(5, 8), _rules()) == {"no back end stores weights of 5 bits"}
    assert reasons(Precision(8, 4), _rules()) == {"no back end takes activations of 4 bits"}
    assert reasons(Precision(2, 16), _rules("cpu", unwritten=False)) == {
        f"mixdq does not write int2:channel/float of a {kind} yet" for kind in ("linear layer", "convolution")
    }
    assert reasons(Precision(4, 8), _rules("rtx:sm75")) == {
        f"rtx:sm75 takes no int4:channel/int8 of a {kind}: the model contains HW-specific datatypes: int4"
        for kind in ("linear layer", "convolution")
    }
    assert reasons(Precision(8, 8), _rules()) == set()


def test_blocks_that_do_not_divide_the_inputs_leave_a_layer_in_eight_bits_where_there_is_no_other_form(
    layers: LayerTable,
) -> None:
    # Full TensorRT has no four-bit weights with a scale a channel.
    made = legalize(_plan(layers, Precision(4, 16)), layers, _rules("tensorrt:sm90"))
    assert made.plan.realization is not None
    assert str(made.plan.realization.forms[_TO_Q]) == "int4:block128/float"
    assert str(made.plan.realization.forms[_TO_K]) == "int8:channel/float"
    reason = next(change.reason for change in made.changes if change.layer == _TO_K)
    assert reason == "the 96 inputs don't divide into blocks of 128 or 64"


def test_an_odd_number_of_weights_is_not_packed(layers: LayerTable) -> None:
    made = legalize(_plan(layers, Precision(4, 16)), layers, _rules())
    assert made.plan.realization is not None
    assert str(made.plan.realization.forms[_ODD]) == "int8:channel/float"
    (change,) = made.changes
    assert change.layer == _ODD
    assert change.reason == "the 63 weights don't fill whole bytes where they are packed"


def test_asked_blocks_are_given_where_they_fit(layers: LayerTable) -> None:
    made = legalize(_plan(layers, Precision(4, 16)), layers, _rules(block=64))
    assert made.plan.realization is not None
    named = made.plan.realization.forms
    assert str(named[_TO_Q]) == "int4:block64/float"
    # 96 inputs take blocks of 32 alone, convolutions none.
    assert str(named[_TO_K]) == "int4:block32/float"
    assert str(named[_CONV_IN]) == "int4:channel/float"
    with pytest.raises(PlanError, match="blocks of 48 weights are none; use 32, 64, 128"):
        _rules(block=48)


def test_strict_refuses_and_names_the_first_layer_of_each_reason(layers: LayerTable) -> None:
    many = replace(
        layers,
        layers=tuple(replace(layers[_TO_Q], name=LayerName(f"mid.{n:02}.attn1.to_q")) for n in range(12)),
    )
    with pytest.raises(TargetError) as refused:
        legalize(_plan(many, Precision(3, 8)), many, _rules(), strict=True)
    assert str(refused.value) == (
        "rtx:sm89 does not run 12 layers as the plan asks: W3A8 of mid.00.attn1.to_q and 11 more (no back "
        "end stores weights of 3 bits); leave out --strict to get the nearest that it runs"
    )
    widths = [Precision(weights, activations) for weights in (3, 5, 6) for activations in (8, 16)]
    each = {layer.name: widths[n % 6] for n, layer in enumerate(many)}
    with pytest.raises(
        TargetError, match=r"W5A16 of mid.03.attn1.to_q and 1 more \(.*\), and 2 more reasons;"
    ):
        legalize(replace(_plan(many, FP16), layers=each), many, _rules(), strict=True)


def test_fp8_is_answered_by_itself_alone(layers: LayerTable) -> None:
    plan = _plan(layers, Precision(8, 8), conv_in=FP8)
    made = legalize(plan, layers, _rules())
    assert made.changes == ()
    assert made.plan.realization is not None
    assert str(made.plan.realization.forms[_CONV_IN]) == "fp8:tensor/fp8"
    assert str(made.plan.realization.forms[_TO_Q]) == "int8:channel/int8"
    with pytest.raises(TargetError, match=r"rtx:sm80 has nothing that answers FP8.*conv_in \(of 1 layers\)"):
        legalize(plan, layers, _rules("rtx:sm80"))
    with pytest.raises(TargetError, match="mixdq does not write fp8:tensor/fp8 of a convolution yet"):
        legalize(plan, layers, _rules("cpu", unwritten=False))


def test_our_own_kernels_take_zero_points(layers: LayerTable) -> None:
    made = legalize(_plan(layers, Precision(8, 8)), layers, _rules("cuda:sm80", unwritten=False))
    assert made.changes == ()
    assert made.plan.realization is not None
    assert {str(form) for form in made.plan.realization.forms.values()} == {"int8:channel/uint8"}


def test_a_plan_that_is_legal_elsewhere_is_refused(layers: LayerTable) -> None:
    made = legalize(_plan(layers, Precision(4, 8)), layers, _rules())
    with pytest.raises(TargetError, match="made legal for rtx:sm89, not for rtx:sm75"):
        legalize(made.plan, layers, _rules("rtx:sm75"))


def test_what_is_not_written_is_made_legal_again_for_what_is(layers: LayerTable) -> None:
    later = legalize(_plan(layers, Precision(2, 16)), layers, _rules("cpu")).plan
    assert legalize(later, layers, _rules("cpu")).plan == later
    today = legalize(later, layers, _rules("cpu", unwritten=False))
    assert {later[layer.name] for layer in layers if layer.name != _ODD} == {Precision(2, 16)}
    assert {today.plan[layer.name] for layer in layers if layer.name != _ODD} == {Precision(4, 16)}


def test_a_plan_of_another_model_is_refused(layers: LayerTable) -> None:
    plan = _plan(layers, Precision(8, 8))
    other = replace(
        layers, layers=(*layers.layers[:-1], replace(layers.layers[-1], weight_shape=(4, 9, 3, 3)))
    )
    with pytest.raises(DigestError, match="another architecture"):
        legalize(plan, other, _rules())


@pytest.fixture
def many(layers: LayerTable) -> LayerTable:
    """As many layers as SDXL's UNet has."""
    few = layers.layers
    return LayerTable(
        ModelIdentity("many", "f" * 64),
        tuple(
            replace(few[n % len(few)], name=LayerName(f"b{n}.{few[n % len(few)].name}")) for n in range(794)
        ),
    )


def test_layers_that_are_alike_are_looked_at_once(
    many: LayerTable, layers: LayerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[LayerName] = []

    def counted(layer: LayerSpec, *words: Any, **more: Any) -> Form | None:
        looked_at.append(layer.name)
        return cheapest(layer, *words, **more)

    monkeypatch.setattr("mixdq.compiler.legal.legalize.cheapest", counted)
    legalize(_plan(many, Precision(4, 8)), many, _rules(block=64))
    assert 1 < len(looked_at) <= len(layers)


@pytest.mark.full
def test_794_layers_take_under_50_ms(many: LayerTable) -> None:
    rules, plan = _rules(block=64), _random_plan(many, random.Random(0))
    legalize(plan, many, rules)
    assert min(_seconds(plan, many, rules) for _ in range(5)) < 0.05


def _seconds(plan: PrecisionPlan, table: LayerTable, rules: Rules) -> float:
    start = time.process_time()
    legalize(plan, table, rules)
    return time.process_time() - start
