from __future__ import annotations

from collections.abc import Callable

import pytest

from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.totals import totals_of
from mixdq.configs.errors import DigestError, ModelError, PlanError
from mixdq.configs.layers import LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import PAPER_METRICS, SensitivityTable

MakePlan = Callable[..., PrecisionPlan]
MakeCase = Callable[..., Case]


def test_a_mixed_plan_comes_to_what_it_does_by_hand(make_case: MakeCase, mixed: PrecisionPlan) -> None:
    found = totals_of(make_case(mixed))["all"]
    # 40 of the 200 weights have 4 bits.
    assert found.weight_bits == pytest.approx((160 * 8 + 40 * 4) / 200)
    assert (found.packed_bytes, found.fp16_bytes) == (180, 400)
    assert found.compression == pytest.approx(16 / 7.2)
    # V reads 770 of 1411 values with 4 bits, conv_in 20 in FP16.
    assert found.activation_bits == pytest.approx((770 * 4 + 621 * 8) / 1391)
    assert found.activation_bits_with_fp16 == pytest.approx((770 * 4 + 621 * 8 + 20 * 16) / 1411)
    # conv_in, two embeddings, shortcut, Q, K, V, feed-forward, conv_out.
    assert found.bops == (
        80 * 128 + 24 * 64 + 400 * 64 + 200 * 32 + 1540 * 32 + 3080 * 32 + 400 * 64 + 80 * 64
    )
    assert found.macs == 5804
    assert found.bops_saved == pytest.approx(5804 * 256 / 222336)
    # conv_in's weight has 8 bits, and computes in FP16 all the same.
    assert found.computed_bops - found.bops == 80 * (256 - 128)


@pytest.mark.parametrize(
    ("precision", "smaller", "saved", "computed"),
    [
        ("W8A8", 2, 4, 4),
        ("W4A8", 4, 8, 8),
        ("W4A16", 4, 4, 1),
        ("W8A16", 2, 2, 1),
        ("FP16", 1, 1, 1),
        ("FP8", 2, 4, 4),
    ],
)
def test_uniform_plans_have_the_papers_ratios(
    make_case: MakeCase, make_plan: MakePlan, precision: str, smaller: float, saved: float, computed: float
) -> None:
    for part in totals_of(make_case(make_plan(precision), None)).values():
        assert part.compression == smaller
        assert (part.bops_saved, part.computed_saved) == (saved, computed)


def test_groups_and_roles_divide_the_whole(make_case: MakeCase, mixed: PrecisionPlan) -> None:
    found = totals_of(make_case(mixed))
    groups = [found["content"], found["quality"]]
    roles = [found[role] for role in found if role not in ("all", "content", "quality")]
    for parts in (groups, roles):
        assert sum(part.layers for part in parts) == 9
        assert sum(part.weight_share for part in parts) == pytest.approx(1)
        assert sum(part.macs for part in parts) == found["all"].macs
        assert sum(part.bops for part in parts) == found["all"].bops
    assert found["content"].weight_share == 0.5
    assert found["cross-attention"].weight_bits == pytest.approx((20 * 4 + 40 * 8) / 60)


def test_a_plan_without_quantized_activations_has_no_mean_of_them(
    make_case: MakeCase, make_plan: MakePlan
) -> None:
    found = totals_of(make_case(make_plan("W4A16")))["all"]
    assert found.activation_bits is None
    assert found.activation_bits_with_fp16 == 16


def test_plans_scores_and_resolutions_of_another_model_are_refused(
    table: LayerTable, mixed: PrecisionPlan, sensitivity: SensitivityTable
) -> None:
    with pytest.raises(PlanError, match="names conv_in, which nine does not have"):
        Case(LayerTable(table.model, table.layers[1:]), mixed, None, PAPER_METRICS, 64)
    other = LayerTable(ModelIdentity("other", "0" * 64), table.layers)
    with pytest.raises(DigestError, match="was measured on nine"):
        Case(other, mixed, sensitivity, PAPER_METRICS, 64)
    with pytest.raises(ModelError, match="at 128 pixels is unknown"):
        Case(table, mixed, None, PAPER_METRICS, 128)
