from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.claims import claims_of
from mixdq.compiler.explain.comparison import Comparison
from mixdq.compiler.explain.takeaways import Takeaway, takeaways_of
from mixdq.configs.errors import DigestError, PlanError
from mixdq.configs.layers import LayerName
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import Metric, Operand, Scores, SensitivityTable

MakeCase = Callable[..., Case]

_BLOCK = "mid_block.attentions.0.transformer_blocks.0"
K, V = (LayerName(f"{_BLOCK}.attn2.{name}") for name in ("to_k", "to_v"))
TIME = LayerName("time_embedding.linear_1")


def _one(found: Sequence[Takeaway], what: str, operand: Operand, metric: Metric, bits: int) -> Takeaway:
    (one,) = [
        one for one in found if (one.what, one.operand, one.metric, one.bits) == (what, operand, metric, bits)
    ]
    return one


def _with(table: SensitivityTable, operand: Operand, metric: Metric, scores: Scores) -> SensitivityTable:
    own = table.scores[operand]
    return replace(table, scores={**table.scores, operand: {**own, metric: {**own[metric], **scores}}})


def test_a_role_stands_by_its_median_and_its_worst_layer(make_case: MakeCase, mixed: PrecisionPlan) -> None:
    found = takeaways_of(make_case(mixed))
    # conv_in, the shortcut and conv_out have 40, 50 and 45 dB; of nine layers one is below 45.
    one = _one(found, "convolution", Operand.WEIGHT, Metric.SQNR, 8)
    assert (one.layers, one.median, one.worst, one.worst_layer) == (3, 45, 40, "conv_in")
    assert (one.worst_rank, one.of) == (1, 9)
    assert one.more_sensitive == pytest.approx(1 / 9)
    # K and V have 0.995 and 0.996, the feed-forward layer 0.997.
    one = _one(found, "cross-attention", Operand.ACTIVATION, Metric.SSIM, 8)
    assert one.median == pytest.approx(0.9955)
    assert (one.worst, one.worst_layer, one.of) == (0.995, K, 3)
    assert one.more_sensitive == pytest.approx(1 / 3)


def test_a_role_without_all_scores_of_a_metric_has_no_takeaway_of_it(
    make_case: MakeCase, mixed: PrecisionPlan, sensitivity: SensitivityTable
) -> None:
    # Of the three convolutions conv_in alone, and the only layer of self-attention.
    more = {
        LayerName("conv_in"): (0.5, 0.6, 0.7),
        LayerName(f"{_BLOCK}.attn1.to_q"): (0.6, 0.7, 0.8),
    }
    case = make_case(mixed, _with(sensitivity, Operand.WEIGHT, Metric.SSIM, more))
    kinds = {(one.what, one.operand) for one in takeaways_of(case) if one.metric is Metric.SSIM}
    assert ("self-attention", Operand.WEIGHT) in kinds
    assert ("self-attention", Operand.ACTIVATION) not in kinds
    assert ("convolution", Operand.WEIGHT) not in kinds


def test_the_papers_claims_are_decided_by_these_scores(
    make_case: MakeCase, mixed: PrecisionPlan, sensitivity: SensitivityTable
) -> None:
    case = make_case(mixed)
    claims = claims_of(case, takeaways_of(case), None)
    assert [claim.holds for claim in claims] == [True, True, True]
    # conv_in's activation at 8 bits, conv_out's weight at 4; the embeddings' 75 and 72 dB against 63 of all.
    assert "31.0 dB, rank 1 of 9" in claims[0].figures
    assert "15.0 dB, rank 1 of 9" in claims[1].figures
    assert "a median of 73.50 dB, of all layers 63.00" in claims[2].figures
    other = _with(sensitivity, Operand.ACTIVATION, Metric.SQNR, {TIME: (1.0, 2.0, 3.0)})
    case = make_case(mixed, other)
    claims = claims_of(case, takeaways_of(case), None)
    # The embedding is the first now, and conv_in the second.
    assert [claim.holds for claim in claims] == [False, True, False]
    assert "rank 2 of 9" in claims[0].figures


def test_before_and_after_are_compared_layer_by_layer(
    make_case: MakeCase, mixed: PrecisionPlan, sensitivity: SensitivityTable
) -> None:
    worse = {K: (0.1, 0.2, 0.80), V: (0.1, 0.2, 0.70)}
    before = _with(sensitivity, Operand.ACTIVATION, Metric.SSIM, worse)
    case = make_case(mixed)
    found = Comparison.of(case, before)
    (one,) = [
        one
        for one in found.changes
        if (one.what, one.operand, one.metric, one.bits)
        == ("cross-attention", Operand.ACTIVATION, Metric.SSIM, 8)
    ]
    assert [one.median_before, one.median_after] == pytest.approx([0.75, 0.9955])
    assert (one.worst_before, one.worst_after) == (0.70, 0.995)
    assert one.mean_change == pytest.approx((0.195 + 0.296) / 2)
    assert (one.risen, one.fallen) == (2, 0)
    layers = {
        (layer.name, layer.before, layer.after)
        for layer in found.text_layers
        if (layer.operand, layer.metric, layer.bits) == (Operand.ACTIVATION, Metric.SSIM, 8)
    }
    assert layers == {(K, 0.80, 0.995), (V, 0.70, 0.996)}
    assert [claim.holds for claim in claims_of(case, (), found)][-2:] == [True, True]
    # The other way round they have become more sensitive.
    found = Comparison.of(make_case(mixed, before), sensitivity)
    assert [claim.holds for claim in claims_of(make_case(mixed, before), (), found)][-2:] == [False, True]


def test_only_what_both_tables_have_is_compared(
    make_case: MakeCase, mixed: PrecisionPlan, sensitivity: SensitivityTable
) -> None:
    def narrow(scores: Scores) -> Scores:
        return {name: (row[0],) for name, row in scores.items()}

    at_two = replace(
        sensitivity,
        widths=dict.fromkeys(Operand, (2,)),
        scores={
            operand: {metric: narrow(scores) for metric, scores in metrics.items()}
            for operand, metrics in sensitivity.scores.items()
        },
    )
    found = Comparison.of(make_case(mixed), at_two)
    assert {one.bits for one in found.changes} == {2}
    at_three = replace(at_two, widths=dict.fromkeys(Operand, (3,)))
    with pytest.raises(PlanError, match="no operand, metric and width in common"):
        Comparison.of(make_case(mixed), at_three)


def test_a_table_of_another_model_or_none_to_compare_with_is_refused(
    make_case: MakeCase, mixed: PrecisionPlan, sensitivity: SensitivityTable
) -> None:
    with pytest.raises(DigestError, match="measured on another architecture"):
        Comparison.of(make_case(mixed), replace(sensitivity, layers_digest="0" * 64))
    with pytest.raises(PlanError, match="give --sensitivity beside --compare"):
        Comparison.of(make_case(mixed, None), sensitivity)
