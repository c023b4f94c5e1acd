from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from mixdq.compiler.allocate.allocation import Allocation, allocate
from mixdq.compiler.allocate.baselines import (
    Baseline,
    baseline,
    drawn,
    most_sensitive_first,
    perturbed,
    uniform,
)
from mixdq.compiler.allocate.programme import Budget, Choice, InfeasibleError, Item, Programme
from mixdq.compiler.allocate.solver import solve
from mixdq.compiler.allocate.subject import Part, Subject, parts_of
from mixdq.configs.layers import Group, LayerName
from mixdq.configs.sensitivity import Metric, Operand

_BUDGETS = {
    Part.CONTENT_WEIGHTS: 3.7,
    Part.QUALITY_WEIGHTS: 5.5,
    Part.CONTENT_ACTIVATIONS: 6.3,
    Part.QUALITY_ACTIVATIONS: 5.9,
}


def _mean(found: Allocation, part: Part) -> float:
    bits = found.weights if part.operand is Operand.WEIGHT else found.activations
    layers = found.subject.layers(part)
    taken = sum(found.subject.size(part.operand, layer) * bits[layer.name] for layer in layers)
    return taken / found.subject.total(part)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", [kind for kind in Baseline if kind is not Baseline.SQNR])
def test_a_baseline_keeps_every_budget_and_never_beats_the_optimum(
    make_subject: Callable[[int], Subject], kind: Baseline, seed: int
) -> None:
    subject = make_subject(seed)
    best, _ = allocate(subject, _BUDGETS)
    found = baseline(subject, _BUDGETS, kind, seed)
    for part, budget in _BUDGETS.items():
        assert _mean(found, part) <= budget + 1e-12
        assert found.score(part) <= best.score(part) + 1e-9
    found.plan(bos_aware=True, split_shortcuts=True).check(subject.table)


@pytest.mark.parametrize("kind", [Baseline.RANDOM, Baseline.PERTURBED])
def test_the_same_seed_draws_the_same(subject: Subject, kind: Baseline) -> None:
    assert baseline(subject, _BUDGETS, kind, 3) == baseline(subject, _BUDGETS, kind, 3)


def _fifty() -> Programme[int]:
    draw = random.Random(5)
    items = tuple(
        Item(
            LayerName(f"layer{number}"),
            tuple(Choice(b, 60 - 50 * gain * 2.0**-b, (b * size,)) for b in (2, 4, 8)),
        )
        for number, size, gain in ((n, draw.randint(10, 100), draw.random()) for n in range(50))
    )
    return Programme(items, (Budget("mean bits", 4.3, sum(item.choices[0].costs[0] for item in items) // 2),))


def test_a_perturbed_choice_differs_in_at_most_a_fifth_of_the_layers() -> None:
    programme = _fifty()
    best = solve(programme).chosen
    found = [perturbed(programme, best, random.Random(seed)) for seed in range(10)]
    assert len(set(found)) == 10
    for chosen in found:
        assert programme.fits(chosen)
        assert 0 < sum(one != other for one, other in zip(chosen, best, strict=True)) <= 10


def test_random_choices_differ_and_leave_little_of_the_budget() -> None:
    programme = _fifty()
    found = [drawn(programme, random.Random(seed)) for seed in range(10)]
    assert len(set(found)) == 10
    for chosen in found:
        # No layer could be raised any more: less is left than the smallest one's step from 2 to 4 bits.
        assert 0 <= programme.budgets[0].capacity - programme.costs(chosen)[0] < 200
        assert set(chosen) == {0, 1, 2}


def test_by_sqnr_alone_both_groups_share_one_budget(subject: Subject) -> None:
    found = baseline(subject, _BUDGETS, Baseline.SQNR, 0)
    alike = replace(subject, metrics=dict.fromkeys(Group, Metric.SQNR))
    decoupled, _ = allocate(alike, _BUDGETS)
    for operand in Operand:
        parts = parts_of(operand)
        sizes = [subject.total(part) for part in parts]
        allowed = sum(_BUDGETS[part] * size for part, size in zip(parts, sizes, strict=True)) / sum(sizes)
        assert found.mean_bits(operand) <= allowed + 1e-12
        joined = sum(replace(found, subject=alike).score(part) for part in parts)
        assert joined >= sum(decoupled.score(part) for part in parts) - 1e-9


def _programme(limit: float) -> Programme[int]:
    """Three layers of 10 weights; the second does worst with 2 bits, then the third."""
    scores = {"one": (0.9, 0.95, 0.99), "two": (0.1, 0.2, 0.3), "three": (0.5, 0.6, 0.7)}
    items = tuple(
        Item(
            LayerName(name),
            tuple(Choice(b, s, (10 * b,)) for b, s in zip((2, 4, 8), row, strict=True)),
        )
        for name, row in scores.items()
    )
    return Programme(items, (Budget("mean bits", limit, 30),))


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(2.0, (2, 2, 2)), (3.9, (2, 4, 4)), (4.0, (2, 8, 2)), (5.0, (2, 8, 4)), (8.0, (8, 8, 8))],
)
def test_sorting_gives_the_most_to_the_layers_that_do_worst(limit: float, expected: tuple[int, ...]) -> None:
    programme = _programme(limit)
    assert tuple(programme.values(most_sensitive_first(programme)).values()) == expected


@pytest.mark.parametrize(("limit", "bits"), [(2.0, 2), (3.99, 2), (4.0, 4), (7.9, 4), (9.0, 8)])
def test_uniform_is_the_most_that_all_can_have(limit: float, bits: int) -> None:
    programme = _programme(limit)
    assert set(programme.values(uniform(programme)).values()) == {bits}


@pytest.mark.parametrize("kind", list(Baseline))
def test_a_budget_that_no_choice_keeps_is_refused(subject: Subject, kind: Baseline) -> None:
    budgets = {**_BUDGETS, Part.QUALITY_WEIGHTS: 3.9, Part.CONTENT_WEIGHTS: 1.9}
    with pytest.raises(InfeasibleError):
        baseline(subject, budgets, kind, 0)
