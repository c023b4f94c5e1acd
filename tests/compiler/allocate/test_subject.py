from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler.allocate.allocation import allocate
from mixdq.compiler.allocate.solver import solve
from mixdq.compiler.allocate.subject import PAPER_WIDTHS, Part, Subject
from mixdq.configs.errors import DigestError, PlanError
from mixdq.configs.layers import Group, Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import Precision
from mixdq.configs.sensitivity import PAPER_METRICS, Metric, Objective, Operand, SensitivityTable

NEAR, FAR = LayerName("near"), LayerName("far")


def test_widths_and_metrics_that_were_not_measured_are_refused(subject: Subject) -> None:
    with pytest.raises(PlanError, match=r"no weight scores at 3 bits.* it has 2, 4, 8"):
        replace(subject, widths={**PAPER_WIDTHS, Part.CONTENT_WEIGHTS: (2, 3, 4)})
    with pytest.raises(PlanError, match=r"no weight x0_sqnr_db for conv_in and 3 more quality layers"):
        replace(subject, metrics={Group.CONTENT: Metric.SSIM, Group.QUALITY: Metric.X0_SQNR})


def test_a_table_of_another_model_is_refused(subject: Subject) -> None:
    with pytest.raises(DigestError, match="measured on eight"):
        replace(subject, table=LayerTable(ModelIdentity("other", "f" * 64), subject.table.layers))


def test_the_four_programmes_make_a_plan_of_all_layers(subject: Subject, tmp_path: Path) -> None:
    budgets = {
        Part.CONTENT_WEIGHTS: 3.0,
        Part.QUALITY_WEIGHTS: 5.0,
        Part.CONTENT_ACTIVATIONS: 6.0,
        Part.QUALITY_ACTIVATIONS: 8.0,
    }
    found, solutions = allocate(subject, budgets)
    for part, solution in solutions.items():
        assert solution.proven
        assert solution.shown() <= budgets[part]
        assert found.score(part) == pytest.approx(solution.score)
    plan = found.plan(bos_aware=True, split_shortcuts=False)
    plan.check(subject.table)
    plan.write(tmp_path / "plan.yaml")
    assert PrecisionPlan.read(tmp_path / "plan.yaml") == plan
    assert plan.model_digest == subject.table.model.digest
    assert plan[LayerName("conv_in")].activation_bits == 16
    # All others of the group have 8 bits: the budget is the largest width, and more bits score higher.
    assert plan[LayerName("conv_out")].activation_bits == 8


def test_bytes_and_means_are_those_of_the_bits(subject: Subject) -> None:
    found, _ = allocate(
        subject,
        {
            Part.CONTENT_WEIGHTS: 2.0,
            Part.QUALITY_WEIGHTS: 4.0,
            Part.CONTENT_ACTIVATIONS: 4.0,
            Part.QUALITY_ACTIVATIONS: 8.0,
        },
    )
    assert found.weight_bytes == (992 * 2 + 1792 * 4) // 8
    assert found.mean_bits(Operand.WEIGHT) == pytest.approx((992 * 2 + 1792 * 4) / 2784)
    content, quality, protected = 2308, 1664, 256
    assert found.mean_bits(Operand.ACTIVATION) == pytest.approx((content * 4 + quality * 8) / 3972)
    with_protected = (content * 4 + quality * 8 + protected * 16) / 4228
    assert found.mean_activation_bits_with_protected == pytest.approx(with_protected)


def test_activations_without_a_budget_stay_in_full_precision(subject: Subject) -> None:
    found, _ = allocate(subject, {Part.CONTENT_WEIGHTS: 4.0, Part.QUALITY_WEIGHTS: 4.0})
    plan = found.plan(bos_aware=True, split_shortcuts=True)
    assert {precision.activation_bits for precision in plan.layers.values()} == {16}
    assert plan[LayerName("conv_in")] == Precision(4, 16)
    assert found.mean_bits(Operand.ACTIVATION) == 16


def test_noise_counts_the_power_that_is_lost() -> None:
    assert Objective.SCORES.of(Metric.SQNR, 20.0) == 20
    assert Objective.NOISE.of(Metric.SQNR, 20.0) == pytest.approx(-10_000)
    assert Objective.NOISE.of(Metric.X0_SQNR, 60.0) == pytest.approx(-1)
    assert Objective.NOISE.of(Metric.SSIM, 0.75) == -250_000


def test_by_noise_the_worst_layer_is_raised_though_another_would_gain_more_decibels() -> None:
    table = LayerTable(
        ModelIdentity("hand", "0"),
        tuple(LayerSpec(name, Kind.LINEAR, (4, 4), False, None, {64: 16}) for name in (NEAR, FAR)),
    )
    decibels = {NEAR: (10.0, 20.0), FAR: (60.0, 90.0)}
    sensitivity = SensitivityTable(
        table.model,
        table.digest,
        None,
        {Operand.WEIGHT: (4, 8), Operand.ACTIVATION: (4, 8)},
        {operand: {Metric.SQNR: decibels, Metric.SSIM: {}} for operand in Operand},
    )
    part = Part.QUALITY_WEIGHTS
    widths = dict.fromkeys(Part, (4, 8))
    chosen = {}
    for objective in Objective:
        subject = Subject(table, sensitivity, PAPER_METRICS, widths, 64, frozenset(), objective=objective)
        found = solve(subject.programme(part, 6.0))
        chosen[objective] = found.programme.values(found.chosen)
    assert chosen == {Objective.SCORES: {NEAR: 4, FAR: 8}, Objective.NOISE: {NEAR: 8, FAR: 4}}
