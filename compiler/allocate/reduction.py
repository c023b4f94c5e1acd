"""Choices that no optimum takes, by a Lagrangian bound: the search is left with the few that are in doubt.

With a price for what is bounded, every layer can choose for itself, and what they then gain together, the
unspent budget sold at that price, bounds the optimum. A layer that is forced to another choice lowers the
bound by what it gives up; if that is below what some choice of all layers is known to reach, no optimum takes
it (Dantzig 1957; Sinha and Zoltners 1979, for one choice a class).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mixdq.compiler.allocate.programme import Programme

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_MARGIN = 1e-10
"""Of the bound: far more than rounding, far less than what tells choices apart."""

_SWITCHES = 800
_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Reduced:
    """What is left of a programme.

    Attributes:
        kept: by item the choices that an optimum may take, at least one.
        known: one choice an item within the budget, all of them kept.
    """

    kept: tuple[tuple[int, ...], ...]
    known: tuple[int, ...]


def reduce_choices(programme: Programme[T], kept: Sequence[Sequence[int]]) -> Reduced:
    """Drops choices that no optimum takes.

    Args:
        programme: of one budget, which the cheapest choices keep.
        kept: by item the choices to consider, none dominated by another.
    """
    assert len(programme.budgets) == 1
    table = _Table.of(programme, kept)
    price, chosen = _greedy(table, programme.budgets[0].capacity)
    chosen = _improved(table, chosen, price, programme.budgets[0].capacity)
    net = table.gains - price * table.costs
    best = net.max(axis=1)
    bound = price * programme.budgets[0].capacity + best.sum()
    reached = table.taken(table.gains, chosen).sum()
    may = bound - (best[:, None] - net) >= reached - _MARGIN * abs(bound)
    may[np.arange(len(chosen)), chosen] = True
    return Reduced(
        tuple(
            tuple(index for place, index in enumerate(row) if may[number, place])
            for number, row in enumerate(kept)
        ),
        tuple(row[place] for row, place in zip(kept, chosen.tolist(), strict=True)),
    )


@dataclass(frozen=True, slots=True)
class _Table:
    """Choices in rows, cheapest first as they come; short rows are filled with what nobody would take.

    Attributes:
        gains: over the worst choice of the row, `[items, choices]`.
        costs: likewise; whole numbers, exact in FP64.
        real: which are choices.
    """

    gains: Floats
    costs: Floats
    real: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, programme: Programme[Any], kept: Sequence[Sequence[int]]) -> _Table:
        width = max(len(row) for row in kept)
        gains, costs = np.full((len(kept), width), -np.inf), np.zeros((len(kept), width))
        for number, (item, row) in enumerate(zip(programme.items, kept, strict=True)):
            worst = min(item.choices[index].score for index in row)
            gains[number, : len(row)] = [item.choices[index].score - worst for index in row]
            costs[number, : len(row)] = [item.choices[index].costs[0] for index in row]
        return cls(gains, costs, np.isfinite(gains))

    def taken(self, values: Floats, chosen: Indices) -> Floats:
        """The values of one choice an item."""
        found: Floats = values[np.arange(len(chosen)), chosen]
        return found


def _greedy(table: _Table, capacity: int) -> tuple[float, Indices]:
    """The best price, and choices that keep the budget: steps up each row's hull, steepest first.

    The price is the slope of the first step that no longer fits, at which the bound is smallest.
    """
    costs = np.where(table.real, table.costs, np.inf)
    chosen: Indices = costs.argmin(axis=1)
    room = capacity - table.taken(table.costs, chosen).sum()
    steps = [
        (slope, number, to, cost)
        for number in range(len(chosen))
        for slope, to, cost in _hull(table.gains[number], table.costs[number], int(chosen[number]))
    ]
    price, stopped = 0.0, set()
    for slope, number, to, cost in sorted(steps, key=lambda step: -step[0]):
        if number in stopped:
            continue
        if cost <= room:
            chosen[number] = to
            room -= cost
        else:
            price = price or slope
            stopped.add(number)
    return price, chosen


def _hull(gains: Floats, costs: Floats, start: int) -> list[tuple[float, int, float]]:
    """Steps along a row's upper hull from its cheapest choice: slope, where to, what it costs."""
    steps: list[tuple[float, int, float]] = []
    here = start
    while True:
        dearer = np.flatnonzero((costs > costs[here]) & (gains > gains[here]))
        if not len(dearer):
            return steps
        slopes = (gains[dearer] - gains[here]) / (costs[dearer] - costs[here])
        to = int(dearer[slopes.argmax()])
        steps.append((float(slopes.max()), to, float(costs[to] - costs[here])))
        here = to


def _improved(table: _Table, chosen: Indices, price: float, capacity: int) -> Indices:
    """Better choices by changing one or two rows at a time, of the changes that give up least."""
    chosen = chosen.copy()
    for _ in range(_ROUNDS):
        room = capacity - table.taken(table.costs, chosen).sum()
        extra = table.costs - table.taken(table.costs, chosen)[:, None]
        more = table.gains - table.taken(table.gains, chosen)[:, None]
        given_up = np.where(table.real, price * extra - more, np.inf)
        given_up[np.arange(len(chosen)), chosen] = np.inf
        rows, places = np.unravel_index(np.argsort(given_up, axis=None)[:_SWITCHES], given_up.shape)
        some = np.isfinite(given_up[rows, places])
        rows, places = rows[some], places[some]
        # Not to change anything is a change as well, so that pairs hold single ones.
        costs = np.append(extra[rows, places], 0.0)
        gains = np.append(more[rows, places], 0.0)
        owners = np.append(rows, -1)
        allowed = (costs[:, None] + costs <= room) & (owners[:, None] != owners)
        together = np.where(allowed, gains[:, None] + gains, -np.inf)
        one, two = np.unravel_index(int(together.argmax()), together.shape)
        if together[one, two] <= 0:
            break
        for change in (int(one), int(two)):
            if change < len(rows):
                chosen[rows[change]] = places[change]
    return chosen
