from __future__ import annotations

import io

import pytest
from rich.console import Console

from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.legalize import legalize
from mixdq.compiler.legal.totals import asked_totals, real_totals
from mixdq.compiler.legal.words import in_words
from mixdq.configs.capability import find_capability
from mixdq.configs.errors import ModelError
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FP16, Precision

_RULES = Rules(find_capability("rtx:sm89"), None, unwritten=True)


@pytest.fixture
def two() -> LayerTable:
    """8 weights and 32 values read at 16 positions; 36 weights and 64 values at 16."""
    return LayerTable(
        ModelIdentity("two", "2" * 64),
        (
            LayerSpec(LayerName("a"), Kind.LINEAR, (4, 2), True, None, {64: 128}),
            LayerSpec(LayerName("b"), Kind.CONVOLUTION, (1, 4, 3, 3), True, None, {64: 576}),
        ),
    )


def _plan(table: LayerTable, a: Precision, b: Precision) -> PrecisionPlan:
    layers = {LayerName("a"): a, LayerName("b"): b}
    return PrecisionPlan(table.digest, None, bos_aware=True, split_shortcuts=True, layers=layers)


def test_totals_are_those_worked_out_by_hand(two: LayerTable) -> None:
    plan = _plan(two, Precision(3, 8), Precision(4, 8))
    made = legalize(plan, two, _RULES).plan
    assert made.layers == {"a": Precision(4, 8), "b": Precision(4, 16)}
    before, after = asked_totals(plan, two, 64, 2), real_totals(made, two, 64, 2)
    assert before.weight_bits == pytest.approx((8 * 3 + 36 * 4) / 44)
    assert after.weight_bits == 4
    assert before.activation_bits == 8
    assert after.activation_bits == pytest.approx((32 * 8 + 64 * 16) / 96)
    assert before.bytes == 3 + 18
    # Four and one scales of two bytes.
    assert after.bytes == 4 + 8 + 18 + 2
    assert before.bops == 128 * 3 * 8 + 576 * 4 * 8
    assert after.bops == 128 * 8 * 8 + 576 * 16 * 16


def test_floating_point_counts_in_the_targets_bytes(two: LayerTable) -> None:
    plan = _plan(two, FP16, FP16)
    made = legalize(plan, two, Rules(find_capability("cpu"), None, unwritten=False)).plan
    assert asked_totals(plan, two, 64, 4).bytes == real_totals(made, two, 64, 4).bytes == 44 * 4
    assert asked_totals(plan, two, 64, 2).bytes == 88


def test_a_resolution_without_work_is_refused(two: LayerTable) -> None:
    with pytest.raises(ModelError, match="at 128 pixels is unknown"):
        asked_totals(_plan(two, FP16, FP16), two, 128, 2)


def test_changes_are_counted_by_what_became_of_what(two: LayerTable) -> None:
    plan = _plan(two, Precision(3, 8), Precision(4, 8))
    made = legalize(plan, two, _RULES)
    console = Console(file=io.StringIO(), width=200)
    for part in in_words(plan, made, two, _RULES, 64):
        console.print(part, soft_wrap=isinstance(part, str), highlight=False)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "no back end stores weights of 3 bits" in text
    assert "2 of 2 layers change for rtx:sm89" in text
    assert "layers by form: int4:channel/int8 1, int4:channel/float 1" in text
    assert "3.8182" in text
