from __future__ import annotations

from fractions import Fraction

import pytest

from mixdq.compiler.allocate.programme import Budget, Choice, InfeasibleError, Item, Programme
from mixdq.configs.errors import PlanError
from mixdq.configs.layers import LayerName

_ONE, _TWO = LayerName("one"), LayerName("two")


def _programme(limit: float) -> Programme[int]:
    """Layers of 10 and 30 weights at 2 or 4 bits: 80 to 160 bits, means of 2 to 4."""
    items = tuple(
        Item(name, tuple(Choice(bits, float(bits), (bits * size,)) for bits in (2, 4)))
        for name, size in ((_ONE, 10), (_TWO, 30))
    )
    return Programme(items, (Budget("mean bits", limit, 40),))


def test_a_choice_is_scored_and_priced() -> None:
    programme = _programme(3)
    assert programme.score((0, 1)) == 6
    assert programme.costs((0, 1)) == (140,)
    assert programme.budgets[0].shown(140) == 3.5
    assert not programme.fits((0, 1))
    assert programme.fits((1, 0))
    assert programme.values((1, 0)) == {_ONE: 4, _TWO: 2}
    assert programme.indices({_ONE: 4, _TWO: 2}) == (1, 0)
    assert (programme.least(0), programme.most(0)) == (80, 160)


def test_values_that_are_no_choice_are_refused() -> None:
    with pytest.raises(PlanError, match="two has 3, expected one of 2, 4"):
        _programme(3).indices({_ONE: 4, _TWO: 3})
    with pytest.raises(PlanError, match="two has nothing"):
        _programme(3).indices({_ONE: 4})


@pytest.mark.parametrize("cost", range(80, 161, 7))
@pytest.mark.parametrize("units", [40, 3, 1_774_325_760])
def test_a_mean_that_was_read_of_a_plan_pays_for_that_plan(cost: int, units: int) -> None:
    assert Budget("bits", cost * 10**6 / units, units).capacity == cost * 10**6


def test_a_budget_is_rounded_down_and_what_is_fixed_is_taken_off() -> None:
    assert Budget("bits", 2.49, 10).capacity == 24
    assert Budget("ms", 2.5, 1000, fixed=700).capacity == 1800
    assert Budget("ms", 2.5, 1000, fixed=700).shown(1800) == 2.5


def test_a_budget_below_the_smallest_choice_is_refused_with_the_nearest() -> None:
    _programme(2.0).check()
    with pytest.raises(InfeasibleError, match=r"takes 2; the nearest .* is 2$"):
        _programme(1.9).check()


@pytest.mark.parametrize("cost", [1, 2, 12345, 99999, 10**12 + 1])
def test_the_nearest_budget_that_is_named_pays(cost: int) -> None:
    budget = Budget("bits", 1.0, 33333)
    limit = float(budget.at_least(cost))
    assert Budget("bits", limit, 33333).capacity >= cost
    assert Fraction(budget.at_least(cost)) <= Fraction(cost, 33333) * Fraction(100_001, 100_000)
