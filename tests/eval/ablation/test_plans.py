from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.errors import DigestError, PlanError
from mixdq.configs.layers import Group, LayerName, LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.sensitivity import Metric, Operand, SensitivityTable
from mixdq.eval.ablation.cases import CASES, Case, Step
from mixdq.eval.ablation.plans import PlanMaker, RowPlan, read_given


@pytest.fixture
def maker(layers: LayerTable, sensitivity: SensitivityTable) -> PlanMaker:
    return PlanMaker(layers, sensitivity, resolution=64, ratio=None, given={})


def _plan(maker: PlanMaker, name: str) -> RowPlan:
    (case,) = (case for case in CASES if case.name == name)
    return maker.make(case)


def _protected(plan: PrecisionPlan) -> set[LayerName]:
    return {name for name, precision in plan.layers.items() if not precision.quantizes_activation}


def _weight_bits(plan: PrecisionPlan) -> set[int]:
    return {precision.weight_bits for precision in plan.layers.values()}


def test_full_precision_quantizes_nothing(maker: PlanMaker) -> None:
    assert set(_plan(maker, "full").plan.layers.values()) == {FP16}


def test_naive_is_one_precision_for_every_layer_and_quantizes_token_0(maker: PlanMaker) -> None:
    plan = _plan(maker, "w5a8-naive").plan
    assert set(plan.layers.values()) == {Precision(5, 8)}
    assert not plan.bos_aware
    assert plan.split_shortcuts


def test_the_bos_step_changes_nothing_but_bos_awareness(maker: PlanMaker) -> None:
    assert _plan(maker, "w8a8-bos").plan == replace(_plan(maker, "w8a8-naive").plan, bos_aware=True)


def test_at_8_bits_mixed_precision_is_protection_alone(maker: PlanMaker) -> None:
    for name in ("w8a8-mixed", "w8a8-mixdq"):
        plan = _plan(maker, name).plan
        assert _weight_bits(plan) == {8}
        assert plan.bos_aware
        assert plan.split_shortcuts


def test_not_decoupled_the_lowest_sqnr_of_all_layers_are_protected_as_many_as_of_both_groups(
    maker: PlanMaker, layers: LayerTable, sensitivity: SensitivityTable
) -> None:
    mixed, decoupled = (_protected(_plan(maker, f"w8a8-{step}").plan) for step in ("mixed", "mixdq"))
    assert len(mixed) == len(decoupled) == 2
    assert [layers[name].group for name in mixed] == [Group.CONTENT] * 2
    assert {layers[name].group for name in decoupled} == set(Group)
    sqnr = {layer.name: sensitivity.score(Operand.ACTIVATION, Metric.SQNR, layer.name, 8) for layer in layers}
    assert mixed == set(sorted(sqnr, key=sqnr.__getitem__)[:2])


@pytest.mark.parametrize("step", ["mixed", "mixdq"])
def test_weights_keep_the_mean_and_activations_have_8_bits(
    maker: PlanMaker, layers: LayerTable, step: str
) -> None:
    plan = _plan(maker, f"w5a8-{step}").plan
    assert 4 <= plan.mean_bits(layers)[0] <= 5
    assert len(_weight_bits(plan)) > 1
    assert {precision.activation_bits for precision in plan.layers.values()} == {8, 16}


def test_without_quantized_activations_nothing_is_protected(maker: PlanMaker, layers: LayerTable) -> None:
    found = _plan(maker, "w4a16-mixdq")
    assert {precision.activation_bits for precision in found.plan.layers.values()} == {16}
    assert found.plan.mean_bits(layers)[0] <= 4
    assert "protected" not in found.how


def test_the_split_is_the_one_that_promises_the_most_unless_one_is_given(maker: PlanMaker) -> None:
    chosen = _plan(maker, "w5a8-mixdq")
    given = _plan(replace(maker, ratio=1.0), "w5a8-mixdq")
    assert "content 1 times the bits of quality" in given.how
    assert chosen.plan != given.plan


def test_by_noise_quality_layers_may_have_two_bits_too(maker: PlanMaker, layers: LayerTable) -> None:
    found = maker.make(Case(3, 16, Step.NOISE)).plan
    quality = {found[layer.name].weight_bits for layer in layers if layer.group is Group.QUALITY}
    assert 2 in quality
    assert found.mean_bits(layers)[0] <= 3


def test_a_mean_that_no_split_keeps_is_refused(maker: PlanMaker) -> None:
    # 992 content weights with at least 2 bits, 1792 of quality with at least 4: 3.29 bits.
    with pytest.raises(PlanError, match=r"no split of 3 mean bits .* leave w3a16-mixdq out"):
        maker.make(Case(3, 16, Step.MIXDQ))


def test_a_given_ratio_is_that_of_the_rows_by_noise_too_and_1_without(maker: PlanMaker) -> None:
    assert ", content 1 times the bits of quality" in _plan(maker, "w5a8-noise").how
    assert ", content 0.9 times" in _plan(replace(maker, ratio=0.9), "w5a8-noise").how


@pytest.mark.parametrize(
    ("word", "row"),
    [("W5A8-MixDQ", "w5a8-mixdq"), ("w5a8-noise", "w5a8-noise"), ("w8a8", "w8a8-mixdq")],
)
def test_a_searched_plan_takes_the_place_of_the_row_that_is_named(
    maker: PlanMaker, layers: LayerTable, tmp_path: Path, word: str, row: str
) -> None:
    plan = uniform_plan(layers, Precision(6, 8), keep=(), protect=(), bos_aware=True, split_shortcuts=True)
    plan.write(tmp_path / "best.yaml")
    given = read_given([f"{word}={tmp_path / 'best.yaml'}"], layers)
    assert given == {row: RowPlan(plan, "searched: best.yaml")}
    found = replace(maker, given=given)
    assert _plan(found, row) == RowPlan(plan, "searched: best.yaml")
    for other in {"w5a8-mixed", "w5a8-mixdq", "w5a8-noise"} - {row}:
        assert _plan(found, other) == _plan(maker, other)


@pytest.mark.parametrize(
    "text",
    ["w5a8", "w5a8-noise", "w7a8=plan.yaml", "full=plan.yaml", "w8a16=plan.yaml", "w5a8-bos=plan.yaml"],
)
def test_a_plan_for_no_row_that_is_searched_is_refused(layers: LayerTable, text: str) -> None:
    with pytest.raises(PlanError, match="names no row; write ROW=FILE, with w8a8-mixdq, w5a8-mixdq, w5a8-no"):
        read_given([text], layers)


@pytest.mark.parametrize("budget", ["w5a8", "w4a8", "w4a16", "w3.66a16"])
def test_a_budget_with_two_searched_rows_is_refused_and_both_are_named(
    layers: LayerTable, budget: str
) -> None:
    with pytest.raises(PlanError, match=f"may be of {budget}-mixdq or {budget}-noise; name the row"):
        read_given([f"{budget}=plan.yaml"], layers)


def test_two_plans_for_one_row_and_a_plan_of_another_model_are_refused(
    layers: LayerTable, tmp_path: Path
) -> None:
    plan = uniform_plan(layers, Precision(6, 8), keep=(), protect=(), bos_aware=True, split_shortcuts=True)
    plan.write(tmp_path / "plan.yaml")
    with pytest.raises(PlanError, match="w8a8-mixdq has two plans"):
        read_given([f"{row}={tmp_path / 'plan.yaml'}" for row in ("w8a8", "w8a8-mixdq")], layers)
    other = replace(plan, model_digest="f" * 64)
    other.write(tmp_path / "other.yaml")
    with pytest.raises(DigestError, match="searched on other weights"):
        read_given([f"w5a8-mixdq={tmp_path / 'other.yaml'}"], layers)


def test_sensitivities_of_another_model_are_refused(maker: PlanMaker, sensitivity: SensitivityTable) -> None:
    other = replace(sensitivity, model=ModelIdentity("other", "f" * 64))
    with pytest.raises(DigestError, match="measured on other"):
        _plan(replace(maker, sensitivity=other), "w8a8-mixdq")
