from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mixdq.compiler.allocate.subject import Part
from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.marginals import Marginals, marginals_of
from mixdq.compiler.explain.protection import Protection
from mixdq.compiler.explain.ranking import Ranking, rankings_of
from mixdq.configs.errors import PlanError
from mixdq.configs.layers import LayerName
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import Metric, Operand, SensitivityTable

MakePlan = Callable[..., PrecisionPlan]
MakeCase = Callable[..., Case]

_BLOCK = "mid_block.attentions.0.transformer_blocks.0"
K, V, FF = (LayerName(f"{_BLOCK}.{name}") for name in ("attn2.to_k", "attn2.to_v", "ff.net.2"))
SHORTCUT = LayerName("up_blocks.0.resnets.0.conv_shortcut")
CONV_IN, CONV_OUT = LayerName("conv_in"), LayerName("conv_out")


def test_ranks_are_of_the_group_at_each_width(make_case: MakeCase, mixed: PrecisionPlan) -> None:
    found = Ranking.of(make_case(mixed), Part.QUALITY_WEIGHTS)
    layers = {layer.name: layer for layer in found.layers}
    assert found.metric is Metric.SQNR
    assert layers[CONV_IN].ranks == (2, 2, 1)
    assert layers[CONV_OUT].ranks == (1, 1, 2)
    assert layers[CONV_OUT].scores == (5.0, 15.0, 45.0)
    assert [layer.name for layer in found.layers][:3] == [CONV_IN, CONV_OUT, SHORTCUT]
    # Each is the first at one of the widths.
    assert {layer.name for layer in found.most_sensitive(1)} == {CONV_IN, CONV_OUT}


def test_content_is_ranked_by_ssim_and_says_what_the_plan_gives(
    make_case: MakeCase, mixed: PrecisionPlan
) -> None:
    found = Ranking.of(make_case(mixed), Part.CONTENT_ACTIVATIONS)
    assert found.metric is Metric.SSIM
    assert [(layer.name, layer.ranks, layer.bits) for layer in found.layers] == [
        (K, (2, 3, 1), 8),
        (V, (3, 2, 2), 4),
        (FF, (1, 1, 3), 8),
    ]


def test_layers_that_score_alike_count_in_the_tables_order(
    make_case: MakeCase, mixed: PrecisionPlan, sensitivity: SensitivityTable
) -> None:
    tied = dict.fromkeys(sensitivity.scores[Operand.WEIGHT][Metric.SSIM], (0.9, 0.9, 0.9))
    scores = {
        **sensitivity.scores,
        Operand.WEIGHT: {**sensitivity.scores[Operand.WEIGHT], Metric.SSIM: tied},
    }
    found = Ranking.of(make_case(mixed, replace(sensitivity, scores=scores)), Part.CONTENT_WEIGHTS)
    assert [layer.name for layer in found.layers] == [K, V, FF]


def test_what_has_no_scores_is_not_ranked(
    make_case: MakeCase, mixed: PrecisionPlan, sensitivity: SensitivityTable
) -> None:
    assert rankings_of(make_case(mixed, None)) == ()
    assert marginals_of(make_case(mixed, None)) == ()
    weights = replace(
        sensitivity,
        widths={Operand.WEIGHT: (2, 4, 8)},
        scores={Operand.WEIGHT: sensitivity.scores[Operand.WEIGHT]},
    )
    assert {ranking.operand for ranking in rankings_of(make_case(mixed, weights))} == {Operand.WEIGHT}
    assert Protection.of(make_case(mixed, weights)).layers[0].judgement is None


def test_a_metric_that_was_not_measured_is_refused(
    make_case: MakeCase, mixed: PrecisionPlan, sensitivity: SensitivityTable
) -> None:
    case = make_case(mixed)
    with pytest.raises(PlanError, match="no weight x0_sqnr_db"):
        replace(case, metrics=dict.fromkeys(case.metrics, Metric.X0_SQNR))


def test_protection_names_ranks_and_whether_it_is_the_rule(make_case: MakeCase, make_plan: MakePlan) -> None:
    plan = make_plan("W8A8", {CONV_IN: "W8A16", SHORTCUT: "FP16"})
    found = Protection.of(make_case(plan))
    assert found.quantizes_activations
    first, second = found.layers
    assert first.judgement is not None
    assert second.judgement is not None
    assert (first.name, first.judgement.rank, first.judgement.of, first.judgement.by_rule) == (
        CONV_IN,
        1,
        6,
        True,
    )
    assert first.why() == "1 % rule"
    # conv_out, with 36 dB, is more sensitive than the shortcut, with 42, and is quantized.
    assert (second.name, second.precision, second.judgement.score) == (SHORTCUT, "FP16", 42.0)
    assert second.why() == "not by the 1 % rule; more sensitive and quantized: 1"
    # One percent of three layers is one: K has the lowest SSIM at 8 bits.
    assert [layer.name for layer in found.passed_over] == [K]


def test_the_plans_other_measures_are_counted(make_case: MakeCase, make_plan: MakePlan) -> None:
    found = Protection.of(make_case(make_plan("W8A8", {K: "FP16"})))
    # V reads the text, as K would; the one shortcut is quantized.
    assert (found.bos_aware, found.split_shortcuts) == (1, 1)


def test_a_plan_of_weights_alone_protects_nothing_in_particular(
    make_case: MakeCase, make_plan: MakePlan
) -> None:
    found = Protection.of(make_case(make_plan("W4A16")))
    assert (found.quantizes_activations, found.layers, found.passed_over) == (False, (), ())


def test_costs_are_the_score_to_the_next_lower_width(make_case: MakeCase, mixed: PrecisionPlan) -> None:
    found = Marginals.of(make_case(mixed), Part.QUALITY_WEIGHTS)
    assert found.mean_bits == pytest.approx((80 * 8 + 20 * 4) / 100)
    # All but Q, which has 4 bits; at 8 and 4 bits conv_out has 45 and 15 dB, and 8 weights.
    assert len(found.layers) == 5
    first = found.layers[0]
    assert (first.name, first.bits, first.lower_bits, first.score) == (CONV_OUT, 8, 4, 45.0)
    assert (first.cost, first.freed_bits) == (30.0, 32)
    assert first.cost_per_mbit == pytest.approx(30 / 32e-6)
    cheapest = min(found.layers, key=lambda layer: layer.cost_per_mbit)
    assert (cheapest.name, cheapest.cost, cheapest.freed_bits) == (SHORTCUT, 20.0, 160)


def test_costs_of_activations_free_the_values_that_are_read(
    make_case: MakeCase, mixed: PrecisionPlan
) -> None:
    found = Marginals.of(make_case(mixed), Part.CONTENT_ACTIVATIONS)
    assert found.mean_bits == pytest.approx((425 * 8 + 770 * 4) / 1195)
    assert [(layer.name, layer.freed_bits) for layer in found.layers] == [(FF, 4 * 40), (K, 4 * 385)]
    assert [layer.cost for layer in found.layers] == pytest.approx([0.067, 0.045])


def test_a_layer_in_fp16_is_no_marginal_and_a_uniform_group_has_none(
    make_case: MakeCase, mixed: PrecisionPlan
) -> None:
    found = Marginals.of(make_case(mixed), Part.QUALITY_ACTIVATIONS)
    assert (found.mean_bits, found.layers, found.without_score) == (8, (), ())


def test_bits_that_were_not_measured_are_named_as_such(make_case: MakeCase, make_plan: MakePlan) -> None:
    found = Marginals.of(make_case(make_plan("W4A8", {CONV_IN: "W6A8"})), Part.QUALITY_WEIGHTS)
    assert (found.layers, found.without_score) == ((), (CONV_IN,))
    assert "what these are worth is not known" in " ".join(map(str, found.in_words(3)))
