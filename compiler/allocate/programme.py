"""An integer programme: one choice for every layer, the most score that the budgets allow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Generic, TypeVar

from mixdq.compiler.allocate.amounts import memory_in_words, rounded_up
from mixdq.configs.errors import PlanError
from mixdq.configs.layers import LayerName

T = TypeVar("T")
U = TypeVar("U")


class InfeasibleError(PlanError):
    """No choice of bits keeps within the budgets; the message names the nearest that some choice keeps."""


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """One way to run a layer.

    Attributes:
        value: what is chosen: bits, or a precision.
        score: what it adds to the objective.
        costs: what it takes of each of the programme's budgets, in whole units (bits, nanoseconds).
    """

    value: T
    score: float
    costs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """A layer and its choices, of which it gets exactly one."""

    layer: LayerName
    choices: tuple[Choice[T], ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """What the layers may cost together.

    Attributes:
        name: what is bounded, for people: `mean weight bits of the content group`.
        limit: in people's units: mean bits, GiB, milliseconds.
        units: whole units of cost for one of them.
        fixed: whole units that are spent whatever is chosen.
        option: that gave the limit, `--memory`; empty of one of the four programmes.
        memory: whether the units are bits of memory, which people read in KiB, MiB or GiB.
    """

    name: str
    limit: float
    units: int
    fixed: int = 0
    option: str = ""
    memory: bool = False

    @property
    def capacity(self) -> int:
        """Whole units that the choices may take."""
        exact = Fraction(self.limit) * self.units
        nearest = round(exact)
        # A limit that is itself a mean, as of a plan that was read, is a quotient rounded to a float.
        near = abs(exact - nearest) <= 4 * Fraction(math.ulp(self.limit)) * self.units
        return (nearest if near else math.floor(exact)) - self.fixed

    def shown(self, cost: int) -> float:
        """A cost in people's units."""
        return (cost + self.fixed) / self.units

    def at_least(self, cost: int) -> str:
        """The smallest limit of few digits that pays a cost, in words."""
        if self.memory:
            return memory_in_words(Fraction(cost + self.fixed), up=True)
        return rounded_up(Fraction(cost + self.fixed, self.units), 6)

    def in_words(self, amount: float, form: str = ".6g", *, up: bool = False) -> str:
        """An amount in people's units: memory in the unit that suits it, `up` or not; others in a format."""
        return memory_in_words(Fraction(amount) * self.units, up=up) if self.memory else format(amount, form)

    @property
    def asked(self) -> str:
        """What was asked for: `--memory 1KiB (packed weights)`."""
        if self.option:
            return f"{self.option} {self.in_words(self.limit)} ({self.name})"
        return f"the budget of {self.limit:g} for the {self.name}"


@dataclass(frozen=True, slots=True)
class Programme(Generic[T]):
    """Maximize the summed scores of one choice a layer, within the budgets (paper, equation 2).

    Attributes:
        items: at least one, each with at least one choice.
        budgets: one a cost.
    """

    items: tuple[Item[T], ...]
    budgets: tuple[Budget, ...]

    def __post_init__(self) -> None:
        assert self.items
        assert all(item.choices for item in self.items)
        assert all(len(choice.costs) == len(self.budgets) for item in self.items for choice in item.choices)

    def with_limits(self, *limits: float) -> Programme[T]:
        """The same programme with other budgets."""
        budgets = (replace(budget, limit=limit) for budget, limit in zip(self.budgets, limits, strict=True))
        return replace(self, budgets=tuple(budgets))

    def score(self, chosen: Sequence[int]) -> float:
        """The objective of one choice a layer, by its index."""
        return math.fsum(item.choices[index].score for item, index in self._pairs(chosen))

    def costs(self, chosen: Sequence[int]) -> tuple[int, ...]:
        """What it takes of each budget."""
        taken = [item.choices[index].costs for item, index in self._pairs(chosen)]
        return tuple(sum(costs) for costs in zip(*taken, strict=True))

    def fits(self, chosen: Sequence[int]) -> bool:
        """Whether it keeps within every budget."""
        costs = self.costs(chosen)
        return all(cost <= budget.capacity for cost, budget in zip(costs, self.budgets, strict=True))

    def values(self, chosen: Sequence[int]) -> Mapping[LayerName, T]:
        """What each layer gets."""
        return {item.layer: item.choices[index].value for item, index in self._pairs(chosen)}

    def indices(self, values: Mapping[LayerName, T]) -> tuple[int, ...]:
        """The inverse of `values`.

        Raises:
            PlanError: a layer has no value, or one that is none of its choices.
        """
        return tuple(_index(item, values) for item in self.items)

    def least(self, budget: int) -> int:
        """The smallest cost that choices can have, of one budget alone."""
        return sum(min(choice.costs[budget] for choice in item.choices) for item in self.items)

    def most(self, budget: int) -> int:
        """The largest cost that choices can have."""
        return sum(max(choice.costs[budget] for choice in item.choices) for item in self.items)

    def check(self) -> None:
        """Refuses budgets below the smallest choice of every layer.

        Raises:
            InfeasibleError: names the budget and the nearest one that can be kept.
        """
        for number, budget in enumerate(self.budgets):
            least = self.least(number)
            if least > budget.capacity:
                alone = " beside no other" if len(self.budgets) > 1 else ""
                raise InfeasibleError(
                    f"{budget.asked} can't be kept: the smallest choice of every layer takes "
                    f"{budget.in_words(budget.shown(least), up=True)}; the nearest budget that can be "
                    f"kept{alone} is {budget.at_least(least)}"
                )

    def _pairs(self, chosen: Sequence[int]) -> zip[tuple[Item[T], int]]:
        return zip(self.items, chosen, strict=True)


def _index(item: Item[U], values: Mapping[LayerName, U]) -> int:
    offered = [choice.value for choice in item.choices]
    if item.layer not in values or values[item.layer] not in offered:
        raise PlanError(
            f"{item.layer} has {values.get(item.layer, 'nothing')}, expected one of "
            f"{', '.join(str(value) for value in offered)}"
        )
    return offered.index(values[item.layer])
