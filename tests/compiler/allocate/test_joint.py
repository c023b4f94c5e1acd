from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product

import pytest

from mixdq.compiler.allocate.joint import JointBudgets, allocation_of, joint_programme, scaled_score
from mixdq.compiler.allocate.layer_times import LayerTimes
from mixdq.compiler.allocate.solver import solve
from mixdq.compiler.allocate.subject import Part, Subject
from mixdq.configs.errors import PlanError
from mixdq.configs.latency_table import LatencyRow, LatencyTable
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.precision import Precision
from mixdq.configs.sensitivity import Operand


def _times(table: LayerTable, widths: tuple[int, ...] = (2, 4, 8), seed: int = 0) -> LayerTimes:
    """A layer takes 100 us and up to 100 more, less with fewer bits; beside them 1 ms."""
    draw = random.Random(seed)
    return LayerTimes(
        {
            layer.name: {
                Precision(w, a): round(1e5 + 1e3 * (w + a) * draw.uniform(1, 4))
                for w in widths
                for a in (4, 8, 16)
            }
            for layer in table
        },
        1_000_000,
    )


@pytest.mark.parametrize(
    "budgets",
    [
        JointBudgets(4.5, 6.0, None, None),
        JointBudgets(None, 6.0, 1.6e-6, None),
        JointBudgets(None, None, None, 2.2),
        JointBudgets(5.0, 7.0, 1.7e-6, 2.25),
    ],
)
def test_the_joint_optimum_is_that_of_trying_everything(
    make_subject: Callable[[int], Subject], layers: LayerTable, budgets: JointBudgets
) -> None:
    subject = make_subject(1)
    programme = joint_programme(subject, budgets, _times(layers))
    # Of 8 layers 4 to 6 choices each are too many to try: the first four are free, the others fixed.
    found = solve(programme)
    assert found.proven
    assert programme.fits(found.chosen)
    free = [range(len(item.choices)) for item in programme.items[:4]]
    near = [(*head, *found.chosen[4:]) for head in product(*free)]
    assert found.score == pytest.approx(max(programme.score(c) for c in near if programme.fits(c)))
    tail = [range(len(item.choices)) for item in programme.items[4:]]
    near = [(*found.chosen[:4], *rest) for rest in product(*tail)]
    assert found.score == pytest.approx(max(programme.score(c) for c in near if programme.fits(c)))


def test_costs_are_bits_bytes_and_microseconds(subject: Subject, layers: LayerTable) -> None:
    times = _times(layers)
    budgets = JointBudgets(5.0, 7.0, 1.7e-6, 2.25)
    found = solve(joint_programme(subject, budgets, times))
    made = allocation_of(subject, found)
    plan = made.plan(bos_aware=True, split_shortcuts=True)
    assert found.shown(0) == pytest.approx(made.mean_bits(Operand.WEIGHT))
    assert found.shown(1) == pytest.approx(made.mean_bits(Operand.ACTIVATION))
    assert found.shown(2) == pytest.approx(made.weight_bytes / 2**30)
    spent = 1_000_000 + sum(times.nanoseconds[name][precision] for name, precision in plan.layers.items())
    assert found.shown(3) == pytest.approx(spent / 1e6)
    assert found.score == pytest.approx(
        sum(
            scaled_score(subject, part, made.weights if part.operand is Operand.WEIGHT else made.activations)
            for part in Part
        )
    )


def test_with_all_that_is_wanted_every_part_has_its_whole_share(subject: Subject) -> None:
    found = solve(joint_programme(subject, JointBudgets(8.0, 8.0, None, None), None))
    assert found.score == pytest.approx(4.0)
    least = solve(joint_programme(subject, JointBudgets(None, None, 1.1e-6, None), None))
    assert least.score < 4


def test_activations_in_full_precision_leave_weights_alone_to_choose(subject: Subject) -> None:
    found = solve(joint_programme(subject, JointBudgets(4.5, 16, None, None), None))
    plan = allocation_of(subject, found).plan(bos_aware=True, split_shortcuts=True)
    assert {precision.activation_bits for precision in plan.layers.values()} == {16}


def test_what_was_not_measured_is_no_choice(subject: Subject, layers: LayerTable) -> None:
    found = solve(joint_programme(subject, JointBudgets(None, None, None, 9.0), _times(layers, (4,))))
    assert set(allocation_of(subject, found).weights.values()) == {4}
    with pytest.raises(
        PlanError, match=r"conv_in may run as W4A16, W8A16, and the latency table has it as W2A4"
    ):
        joint_programme(subject, JointBudgets(None, None, None, 9.0), _times(layers, (2,)))


@pytest.mark.parametrize(
    ("budgets", "said"),
    [
        ((None, None, None, None), "nothing bounds"),
        ((None, None, None, 5.0), "needs measured times"),
    ],
)
def test_a_programme_without_bounds_or_times_is_refused(
    subject: Subject, budgets: tuple[float | None, ...], said: str
) -> None:
    with pytest.raises(PlanError, match=said):
        joint_programme(subject, JointBudgets(*budgets), None)


@pytest.mark.parametrize(
    ("budgets", "said"),
    [
        ((16.0, None, None, None), "at most 8$"),
        ((None, 12.0, None, None), "at most 8, or 16"),
        ((-1.0, None, None, None), "positive, finite"),
        ((None, None, float("nan"), None), "positive, finite"),
    ],
)
def test_budgets_that_are_none_are_refused(budgets: tuple[float | None, ...], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        JointBudgets(*budgets)


def _row(
    name: str, kind: str, precision: str, median_us: float, run: str = "r", batch: int = 1
) -> LatencyRow:
    spread = (median_us, median_us, median_us, median_us, 20, 1, median_us, median_us)
    more = ("source", "eight", 1, "onnxruntime profile", run)
    return LatencyRow(name, kind, precision, None, "cpu", "cpu", 64, batch, *spread, *more)


def test_times_are_read_of_a_latency_table(layers: LayerTable) -> None:
    names = [layer.name for layer in layers]
    rows = [_row(name, "layer", "W8A8", 10.0) for name in names]
    rows += [_row(name, "layer", "W4A8", 7.0, "s") for name in names]
    rows += [_row(names[0], "layer", "W8A8", 12.5, "t"), _row(names[0], "layer", "W8A8", 99.0, "u", batch=2)]
    rows += [_row(names[0], "layer", "W4A8", 5.0, "v")]
    rows += [_row("Softmax", "rest", "W8A8", 3.0), _row("Add", "rest", "W8A8", 1.0)]
    rows += [_row("Softmax", "rest", "W4A8", 3.5, "s"), _row("unet", "stage", "W8A8", 500.0)]
    times = LayerTimes.of(LatencyTable(tuple(rows), {}, {}), layers, target="cpu", resolution=64)
    assert times.nanoseconds[names[0]] == {Precision(8, 8): 12_500, Precision(4, 8): 7_000}
    assert times.nanoseconds[names[1]] == {Precision(8, 8): 10_000, Precision(4, 8): 7_000}
    assert times.rest == 4_000


def test_layers_that_were_not_timed_are_named(layers: LayerTable) -> None:
    rows = tuple(_row(layer.name, "layer", "W8A8", 10.0) for layer in layers.layers[1:])
    table = LatencyTable(rows, {}, {})
    with pytest.raises(PlanError, match=r"no time of conv_in \(eight, cpu, 64 pixels"):
        LayerTimes.of(table, layers, target="cpu", resolution=64)
    with pytest.raises(PlanError, match=r"it has layers of eight cpu 64 batch 1"):
        LayerTimes.of(table, layers, target="rtx:sm89", resolution=64)
    stages = LatencyTable((_row("unet", "stage", "W8A8", 5.0),), {}, {})
    with pytest.raises(PlanError, match="no layers, only whole stages"):
        LayerTimes.of(stages, layers, target="cpu", resolution=64)
    assert LayerName("conv_in") not in {row.name for row in rows}
