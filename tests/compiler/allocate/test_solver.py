from __future__ import annotations

import os
import random
import re
from itertools import product
from pathlib import Path

import pytest

from mixdq.compiler.allocate.programme import Budget, Choice, InfeasibleError, Item, Programme
from mixdq.compiler.allocate.solver import solve
from mixdq.configs.layers import Group, Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.mixdq_format.bitmap import BitMap
from mixdq.configs.mixdq_format.scores import ScoreFile


def _drawn(seed: int, layers: int, budgets: int, tightness: float) -> Programme[int]:
    """Layers of three choices; costs and scores are drawn, and need not rise together."""
    draw = random.Random(seed)
    items = tuple(
        Item(
            LayerName(f"layer{number}"),
            tuple(
                Choice(bits, draw.uniform(0, 60), tuple(draw.randint(1, 1000) for _ in range(budgets)))
                for bits in (2, 4, 8)
            ),
        )
        for number in range(layers)
    )
    free = Programme(items, tuple(Budget(f"cost {n}", 1.0, 1) for n in range(budgets)))
    limits = [
        free.least(number) + tightness * (free.most(number) - free.least(number)) for number in range(budgets)
    ]
    return free.with_limits(*limits)


def _best_of_all(programme: Programme[int]) -> float | None:
    """The best of every combination there is."""
    everything = product(*(range(len(item.choices)) for item in programme.items))
    return max((programme.score(chosen) for chosen in everything if programme.fits(chosen)), default=None)


@pytest.mark.parametrize("budgets", [1, 2, 3])
@pytest.mark.parametrize("tightness", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_the_optimum_is_that_of_trying_everything(seed: int, tightness: float, budgets: int) -> None:
    programme = _drawn(seed, 6, budgets, tightness)
    best = _best_of_all(programme)
    if best is None:
        with pytest.raises(InfeasibleError, match="can't be kept together") as raised:
            solve(programme)
        _check_nearest(programme, str(raised.value))
        return
    found = solve(programme)
    assert found.proven
    assert found.score == pytest.approx(best, rel=1e-12)
    assert found.score == programme.score(found.chosen) == found.bound
    assert programme.fits(found.chosen)


def _check_nearest(programme: Programme[int], message: str) -> None:
    """What is named as nearest can be kept, and 1 % less of it can't."""
    limits = [budget.limit for budget in programme.budgets]
    if "to raise one of them is not enough" in message:
        factor = float(re.findall(r"kept are ([0-9.]+) times", message)[0]) + 1e-3
        nearest, less = [limit * factor for limit in limits], [limit * factor * 0.99 for limit in limits]
    else:
        number = next(n for n, budget in enumerate(programme.budgets) if f"the {budget.name} are" in message)
        value = float(re.findall(r"can be kept is ([0-9.e+]+)", message)[0])
        nearest, less = list(limits), list(limits)
        nearest[number], less[number] = value, value * 0.99
    assert _best_of_all(programme.with_limits(*nearest)) is not None
    assert _best_of_all(programme.with_limits(*less)) is None


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-8])
def test_scores_that_are_nearly_equal_are_told_apart(gap: float) -> None:
    """Of two layers of one size one may have 8 bits; the second gains a hair more."""
    items = tuple(
        Item(LayerName(name), (Choice(4, 0.9, (400,)), Choice(8, 0.9 + gain, (800,))))
        for name, gain in (("one", 1e-2), ("two", 1e-2 * (1 + gap)))
    )
    found = solve(Programme(items, (Budget("mean bits", 6.0, 200),)))
    assert found.programme.values(found.chosen) == {"one": 4, "two": 8}


def test_a_budget_is_kept_to_the_last_bit() -> None:
    """800 layers whose sizes differ a little, where 1e-6 of the budget is thousands of bits."""
    draw = random.Random(1)
    items = tuple(
        Item(
            LayerName(f"layer{n}"), tuple(Choice(b, 60 - 50 * 2.0**-b * gain, (b * size,)) for b in (2, 4, 8))
        )
        for n, size, gain in ((n, draw.randint(10**6, 10**7), draw.random()) for n in range(800))
    )
    total = sum(item.choices[0].costs[0] for item in items) // 2
    found = solve(Programme(items, (Budget("mean bits", 4.1, total),)))
    assert found.proven
    room = found.programme.budgets[0].capacity - found.costs[0]
    assert 0 <= room < 1e-4 * total


@pytest.mark.parametrize("excess", [1, 10, 1000])
def test_a_budget_that_is_missed_by_a_billionth_is_missed(excess: int) -> None:
    """Both layers pass the budget of ten billion bits by a few, which SCIP lets through by its tolerance."""
    big, small = 6 * 10**9, 4 * 10**9 + excess
    items = tuple(
        Item(LayerName(name), (Choice(2, 0.0, (0,)), Choice(4, score, (cost,))))
        for name, score, cost in (("big", 2.0, big), ("small", 1.0, small), ("tiny", 0.1, 7))
    )
    found = solve(Programme(items, (Budget("bits", 10.0**10, 1),)))
    assert found.programme.fits(found.chosen)
    assert found.chosen == (1, 0, 1)


def test_the_same_programme_has_the_same_solution_every_time() -> None:
    programme = _drawn(7, 60, 1, 0.4)
    assert len({solve(programme).chosen for _ in range(3)}) == 1


def test_fewer_bits_are_taken_where_more_do_not_score_higher() -> None:
    worse = Item(LayerName("worse"), (Choice(4, 2.0, (4,)), Choice(8, 1.9, (8,))))
    alike = Item(LayerName("alike"), (Choice(8, 2.0, (8,)), Choice(4, 2.0, (4,))))
    found = solve(Programme((worse, alike), (Budget("bits", 100.0, 1),)))
    assert found.programme.values(found.chosen) == {"worse": 4, "alike": 4}


@pytest.mark.parametrize("seed", range(6))
def test_of_layers_that_are_alike_the_first_get_the_most(seed: int) -> None:
    draw = random.Random(seed)
    alike = (Choice(2, 0.0, (20,)), Choice(4, 11.0, (40,)), Choice(8, 18.0, (80,)))
    others = _drawn(seed, 12, 1, 0.5).items
    items = [*others, *(Item(LayerName(f"alike{number}"), alike) for number in range(12))]
    draw.shuffle(items)
    free = Programme(tuple(items), (Budget("bits", 1.0, 1),))
    found = solve(free.with_limits(free.least(0) + 0.02 * (free.most(0) - free.least(0))))
    bits = [index for item, index in zip(items, found.chosen, strict=True) if item.choices == alike]
    assert bits == sorted(bits, reverse=True)
    assert len(set(bits)) > 1


def test_a_budget_that_pays_the_smallest_choice_alone_gives_it() -> None:
    items = (Item(LayerName("a"), (Choice(2, 0.0, (20,)), Choice(4, 1.0, (40,)))),)
    found = solve(Programme(items, (Budget("bits", 2.0, 10),)))
    assert found.chosen == (0,)
    assert found.proven


def test_budgets_that_can_not_be_kept_together_name_the_nearest() -> None:
    """Few bits take long: 2 bits need 9 ms, and 5 ms need 8 bits."""
    item = Item(LayerName("a"), (Choice(2, 0.0, (2, 9)), Choice(8, 1.0, (8, 5))))
    programme = Programme((item,), (Budget("bits", 4.0, 1), Budget("milliseconds", 6.0, 1)))
    with pytest.raises(InfeasibleError, match=r"bits are at least 8, and 4 was asked for.* is 8$"):
        solve(programme)
    assert solve(programme.with_limits(8.0, 6.0)).chosen == (1,)


_RELEASED = os.environ.get("MIXDQ_RELEASED_FILES")
_ROUND = {2: 0, 4: 1, 8: 2}


@pytest.mark.skipif(_RELEASED is None, reason="MIXDQ_RELEASED_FILES names no folder")
@pytest.mark.parametrize(
    ("group", "metric", "widths"), [(Group.CONTENT, "ssim", (2, 4, 8)), (Group.QUALITY, "sqnr", (4, 8))]
)
def test_a_released_maps_own_budget_gives_the_same_map(
    group: Group, metric: str, widths: tuple[int, ...]
) -> None:
    root = Path(_RELEASED or "")
    released = BitMap.read(root / "weight/weight_4.00.yaml")
    scores = ScoreFile.read(root / f"sensitivity/weight_{metric}.yaml").scores
    # The released shares are 11,520 weights to one; names of linear layers suffice to tell the groups apart.
    shares = {
        line.split(": ")[0].removeprefix("model."): round(float(line.split(": ")[1]) * 11520)
        for line in (root / "sensitivity/weight_ratio_config.yaml").read_text().splitlines()
    }
    table = LayerTable(
        ModelIdentity("released", "a" * 64),
        tuple(LayerSpec(name, Kind.LINEAR, (1, shares[name]), True, None, {}) for name in released.bits),
    )
    layers = [layer for layer in table if layer.group is group]
    total = sum(layer.weights for layer in layers)
    mean = sum(layer.weights * released.bits[layer.name] for layer in layers) / total
    items = tuple(
        Item(
            layer.name,
            tuple(Choice(b, scores[layer.name][_ROUND[b]], (b * layer.weights,)) for b in widths),
        )
        for layer in layers
    )
    found = solve(Programme(items, (Budget("mean bits", mean, total),)))
    assert found.proven
    assert found.programme.values(found.chosen) == {layer.name: released.bits[layer.name] for layer in layers}
