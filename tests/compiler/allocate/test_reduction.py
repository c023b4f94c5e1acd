from __future__ import annotations

import random
from itertools import product

import pytest

from mixdq.compiler.allocate.programme import Budget, Choice, Item, Programme
from mixdq.compiler.allocate.reduction import reduce_choices
from mixdq.configs.layers import LayerName


def _drawn(seed: int, layers: int) -> Programme[int]:
    """Layers of different sizes with two or three widths, more bits scoring more, and some budget."""
    draw = random.Random(seed)
    items = []
    for number in range(layers):
        widths = draw.choice([(2, 4, 8), (4, 8)])
        scores = sorted(draw.uniform(0, 10) for _ in widths)
        size = draw.randint(1, 30)
        choices = (Choice(bits, score, (bits * size,)) for bits, score in zip(widths, scores, strict=True))
        items.append(Item(LayerName(str(number)), tuple(choices)))
    programme = Programme(tuple(items), (Budget("bits", 1.0, 1),))
    low, high = programme.least(0), programme.most(0)
    return programme.with_limits(float(draw.randint(low, high)))


def _all(programme: Programme[int]) -> list[list[int]]:
    return [list(range(len(item.choices))) for item in programme.items]


@pytest.mark.parametrize("seed", range(40))
def test_no_optimum_loses_a_choice(seed: int) -> None:
    programme = _drawn(seed, 7)
    everything = [chosen for chosen in product(*_all(programme)) if programme.fits(chosen)]
    most = max(programme.score(chosen) for chosen in everything)
    kept = reduce_choices(programme, _all(programme)).kept
    for chosen in everything:
        if programme.score(chosen) >= most - 1e-12:
            assert all(index in row for index, row in zip(chosen, kept, strict=True))


@pytest.mark.parametrize("seed", range(40))
def test_the_known_choice_keeps_the_budget_and_is_kept(seed: int) -> None:
    programme = _drawn(seed, 60)
    reduced = reduce_choices(programme, _all(programme))
    assert programme.fits(reduced.known)
    assert all(index in row for index, row in zip(reduced.known, reduced.kept, strict=True))


def test_most_choices_of_a_large_programme_are_decided() -> None:
    programme = _drawn(3, 400)
    kept = reduce_choices(programme, _all(programme)).kept
    assert sum(len(row) > 1 for row in kept) < 100


def test_a_budget_for_everything_leaves_nothing_to_decide() -> None:
    programme = _drawn(0, 20)
    rich = programme.with_limits(float(programme.most(0)))
    dearest = tuple((len(item.choices) - 1,) for item in rich.items)
    assert reduce_choices(rich, _all(rich)).kept == dearest


def test_the_smallest_budget_leaves_nothing_to_decide() -> None:
    programme = _drawn(0, 20)
    poor = programme.with_limits(float(programme.least(0)))
    assert reduce_choices(poor, _all(poor)).known == (0,) * 20
