from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.legalize import legalize
from mixdq.compiler.legal.totals import stored_bytes
from mixdq.compiler.tune.limits import Limits
from mixdq.compiler.tune.loop import Round, added_bytes, choose, returns_until, tune, with_returned
from mixdq.compiler.tune.trial import Trial
from mixdq.configs.capability import find_capability
from mixdq.configs.layers import Kind, LayerTable
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.shipped_search import shipped_layers
from mixdq.configs.target import Target

MakeTrial = Callable[..., Trial]
ANY = Limits(floor_db=None, bytes=None, clipped=0.01, ends=0.05)
FLOAT_BYTES = 4


@pytest.fixture(scope="module")
def table() -> LayerTable:
    path = shipped_layers("emoji-turbo")
    assert path is not None
    return LayerTable.read(path)


@pytest.fixture(scope="module")
def plan(table: LayerTable) -> PrecisionPlan:
    """W8A8, made legal for the CPU."""
    wish = uniform_plan(table, Precision(8, 8), keep=(), protect=(), bos_aware=True, split_shortcuts=True)
    return legalize(wish, table, Rules(find_capability("cpu"), None, False)).plan


class Machine:
    """A machine where convolutions are slower quantized, by given times; remembers what it measured."""

    def __init__(self, table: LayerTable, make_trial: MakeTrial, fixed_us: float) -> None:
        self._table, self._make, self._fixed_us = table, make_trial, fixed_us
        self.measured: list[PrecisionPlan] = []

    def __call__(self, plan: PrecisionPlan) -> Trial:
        self.measured.append(plan)
        assert plan.realization is not None
        differences = self._differences(plan)
        return self._make(
            differences,
            whole=self._fixed_us + sum(differences.values()),
            size=stored_bytes(plan, plan.realization, self._table, FLOAT_BYTES),
            plan=plan.digest,
        )

    def _differences(self, plan: PrecisionPlan) -> Mapping[str, float]:
        quantized = [layer for layer in self._table if plan[layer.name].quantizes_weight]
        return {layer.name: -1.0 if layer.kind is Kind.LINEAR else 4.0 for layer in quantized}


def test_the_loop_returns_what_is_slower_and_the_plan_stays_legal(
    plan: PrecisionPlan, table: LayerTable, make_trial: MakeTrial
) -> None:
    machine = Machine(table, make_trial, fixed_us=0.0)
    rounds = tune(plan, table, ANY, FLOAT_BYTES, machine)
    chosen = choose(rounds, ANY, allow_slower=False)
    assert len(rounds) == len(machine.measured) == 2
    assert chosen.best == rounds[1]
    published = chosen.best.plan
    for layer in table:
        assert published[layer.name] == (plan[layer.name] if layer.kind is Kind.LINEAR else FP16)
    published.check(table)
    Target.parse("cpu").check(published)
    rules = Rules(find_capability("cpu"), None, False)
    assert legalize(published, table, rules, strict=True).plan == published
    convolutions = {layer.name for layer in table if layer.kind is not Kind.LINEAR}
    assert {one.layer for one in returns_until(rounds, rounds[1])} == convolutions


def test_bytes_that_returned_layers_add_are_those_of_the_plan(plan: PrecisionPlan, table: LayerTable) -> None:
    names = [layer.name for layer in table][:40]
    added = added_bytes(plan, table, FLOAT_BYTES)
    after = with_returned(plan, names)
    assert plan.realization is not None
    assert after.realization is not None
    before_bytes = stored_bytes(plan, plan.realization, table, FLOAT_BYTES)
    assert stored_bytes(after, after.realization, table, FLOAT_BYTES) - before_bytes == sum(
        added[name] for name in names
    )
    assert not set(names) & set(added_bytes(after, table, FLOAT_BYTES))


def test_all_layers_returned_publish_nothing(
    plan: PrecisionPlan, table: LayerTable, make_trial: MakeTrial
) -> None:
    def measure(plan: PrecisionPlan) -> Trial:
        quantized = [name for name, bits in plan.layers.items() if bits.quantizes_weight]
        return make_trial(dict.fromkeys(quantized, 3.0), whole=whole)

    whole = 500.0
    rounds = tune(plan, table, ANY, FLOAT_BYTES, measure)
    chosen = choose(rounds, ANY, allow_slower=False)
    assert len(rounds) == 1
    assert chosen.best is None
    assert chosen.refusal.startswith(
        "all layers were returned; the fastest quantized engine takes 1.500 times"
    )
    assert choose(rounds, ANY, allow_slower=True).best == rounds[0]
    whole = -5.0
    chosen = choose(tune(plan, table, ANY, FLOAT_BYTES, measure), ANY, allow_slower=False)
    assert chosen.best is None
    assert "takes 0.995 times as long as full precision, no less beyond the spread" in chosen.refusal
    whole = -50.0
    assert choose(tune(plan, table, ANY, FLOAT_BYTES, measure), ANY, allow_slower=False).best is not None


def test_an_engine_slower_than_full_precision_is_refused_within_a_memory_budget(
    plan: PrecisionPlan, table: LayerTable, make_trial: MakeTrial
) -> None:
    machine = Machine(table, make_trial, fixed_us=500.0)
    assert plan.realization is not None
    limits = replace(ANY, bytes=stored_bytes(plan, plan.realization, table, FLOAT_BYTES) + 10)
    rounds = tune(plan, table, limits, FLOAT_BYTES, machine)
    chosen = choose(rounds, limits, allow_slower=False)
    assert (len(rounds), chosen.best) == (1, None)
    assert "the memory budget forbids" in chosen.refusal
    assert "--allow-slower" in chosen.refusal


def test_a_floor_that_full_precision_alone_reaches_is_refused(
    plan: PrecisionPlan, table: LayerTable, make_trial: MakeTrial
) -> None:
    def measure(plan: PrecisionPlan) -> Trial:
        quantized = [name for name, bits in plan.layers.items() if bits.quantizes_weight]
        return make_trial(dict.fromkeys(quantized, -3.0), psnr_db=30.0)

    limits = replace(ANY, floor_db=60.0)
    rounds = tune(plan, table, limits, FLOAT_BYTES, measure)
    counts = [each.trial.quantized for each in rounds]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 1
    chosen = choose(rounds, limits, allow_slower=True)
    assert chosen.best is None
    assert chosen.refusal == (
        "all layers were returned; of the last plan, its pictures have 30.00 dB, and the floor is 60 dB"
    )


def test_the_fastest_of_the_sound_rounds_is_chosen(plan: PrecisionPlan, make_trial: MakeTrial) -> None:
    from mixdq.compiler.tune.decision import Decision

    trials = [
        make_trial({"a": 1.0}, whole=-100.0),
        make_trial({"a": 1.0}, whole=-300.0, ends=0.9),
        make_trial({"a": 1.0}, whole=-200.0),
        make_trial({"a": 1.0}, whole=-150.0),
    ]
    rounds = [Round(plan, trial, Decision((), (), "end")) for trial in trials]
    assert choose(rounds, ANY, allow_slower=False).best == rounds[2]


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (
            {"finite": False, "psnr_db": None, "broken": ("b", "a")},
            "it computes NaN or infinity at 128 pixels, first in the input of b",
        ),
        ({"ends": 0.9}, "90.0% of its pictures at 128 pixels are black or white, of full precision's 10.0%"),
        ({"clipped": {"a": 0.03, "b": 0.2}}, "2 layers clip more than 1.00% of their input, b 20.00%"),
        ({"psnr_db": 19.0}, "its pictures have 19.00 dB, and the floor is 20 dB"),
        ({"size": 3 * 2**20}, "it takes 3MiB, and the budget is 2MiB"),
    ],
)
def test_a_plan_that_is_black_clipped_unlike_or_large_is_faulty(
    make_trial: MakeTrial, found: dict[str, object], named: str
) -> None:
    limits = replace(ANY, floor_db=20.0, bytes=2 * 2**20)
    assert list(limits.faults(make_trial({"a": 1.0}, **found))) == [named]
    assert not list(limits.faults(make_trial({"a": 1.0})))


def test_white_pictures_are_no_fault_where_full_precision_has_them(make_trial: MakeTrial) -> None:
    assert not list(ANY.faults(make_trial({"a": 1.0}, ends=0.92, full_ends=0.9)))
