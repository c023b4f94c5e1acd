"""The optimum of an integer programme, by SCIP through OR-tools, proven."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ortools.linear_solver import pywraplp  # type: ignore[import-untyped]

from mixdq.compiler.allocate.programme import Budget, Choice, InfeasibleError, Item, Programme
from mixdq.compiler.allocate.reduction import reduce_choices
from mixdq.configs.errors import PlanError

T = TypeVar("T")

USUAL_LIMIT_S = 60.0

_FACTOR_STEP = 1e-3
"""How near the factor is found by which budgets are too small."""

_TOP_SCORE = 1e5
"""What the largest gain of any layer is scaled to, so that SCIP's absolute tolerances are far below all."""

# SCIP lets a sum pass its bound by 1e-6 of it, which of 5,000 layers' bits would be thousands.
# It would take Ctrl-C for a wish to stop early and go on with what it has.
_PARAMETERS = "numerics/feastol = 1e-9\nrandomization/randomseedshift = 0\nmisc/catchctrlc = FALSE\n"


@dataclass(frozen=True, slots=True)
class Solution(Generic[T]):
    """A choice for every layer, within the budgets.

    Attributes:
        programme: what was solved.
        chosen: the index of each item's choice.
        score: the objective.
        bound: what no choice can exceed.
        proven: whether the search was finished: `score` is the optimum.
        seconds: of the search.
    """

    programme: Programme[T]
    chosen: tuple[int, ...]
    score: float
    bound: float
    proven: bool
    seconds: float

    @property
    def costs(self) -> tuple[int, ...]:
        """What the choices take of each budget, in whole units."""
        return self.programme.costs(self.chosen)

    def shown(self, budget: int = 0) -> float:
        """What they take of one budget, in people's units."""
        return self.programme.budgets[budget].shown(self.costs[budget])


def solve(programme: Programme[T], *, limit_s: float = USUAL_LIMIT_S) -> Solution[T]:
    """The best choice, with a relative gap of 0.

    A choice that costs no less than another of its layer and scores no more is never taken, and among
    layers whose choices are alike the first get the dearer ones. Other ties are SCIP's: the same every time,
    for it searches in one thread and in one order. Budgets are kept exactly, in whole numbers; the optimum is
    exact up to SCIP's tolerance, 1e-9 of the budget and of the objective.

    Args:
        programme: what to solve.
        limit_s: when to give up proving, and to return the best that was found.

    Raises:
        InfeasibleError: no choice keeps the budgets; names the nearest that can be kept.
        PlanError: nothing was found in time.
    """
    programme.check()
    started = time.perf_counter()
    kept, known = _in_doubt(programme)
    if all(len(row) == 1 for row in kept):
        return _solution(programme, [row[0] for row in kept], None, started)
    capacities = [budget.capacity for budget in programme.budgets]
    while True:
        search = _Search(programme, kept, capacities)
        found = search.run(limit_s - (time.perf_counter() - started))
        if found is None:
            if known is None:
                raise _explained(programme, limit_s) if search.infeasible else _out_of_time(limit_s)
            return _solution(programme, known, search, started)
        excess = [
            cost - budget.capacity
            for cost, budget in zip(programme.costs(found), programme.budgets, strict=True)
        ]
        if max(excess) <= 0:
            break
        capacities = [most - max(0, more) for most, more in zip(capacities, excess, strict=True)]
    if known is not None and programme.score(known) > programme.score(found):
        found = known
    return _solution(programme, found, search, started)


def _in_doubt(programme: Programme[T]) -> tuple[Sequence[Sequence[int]], tuple[int, ...] | None]:
    """By item the choices that an optimum may take; of one budget also some choices that keep it."""
    kept = [_undominated(item) for item in programme.items]
    if len(programme.budgets) != 1:
        return kept, None
    reduced = reduce_choices(programme, kept)
    return reduced.kept, reduced.known


def _solution(
    programme: Programme[T], found: Sequence[int], search: _Search | None, started: float
) -> Solution[T]:
    """What was found, and how far the search got; None if nothing was left to search."""
    chosen = _in_order(programme, found)
    score = programme.score(chosen)
    proven = search is None or search.proven
    bound = score if search is None or proven else search.bound()
    return Solution(programme, chosen, score, bound, proven, time.perf_counter() - started)


class _Search:
    """One run of SCIP on the choices that are kept, as gains over each layer's worst."""

    def __init__(
        self, programme: Programme[T], kept: Sequence[Sequence[int]], capacities: Sequence[int]
    ) -> None:
        self._solver = pywraplp.Solver.CreateSolver("SCIP")
        self.proven = False
        self.infeasible = False
        choices = [[item.choices[index] for index in indices] for item, indices in _zip(programme, kept)]
        self._base = sum(min(choice.score for choice in row) for row in choices)
        gain = max(max(c.score for c in row) - min(c.score for c in row) for row in choices)
        self._scale = _TOP_SCORE / gain if gain > 0 else 1.0
        self._kept = kept
        # Of what is decided already there is nothing to search.
        self._variables = [[self._solver.BoolVar("") for _ in row if len(row) > 1] for row in choices]
        rooms = [
            min(most, programme.most(number))
            - sum(min(choice.costs[number] for choice in row) for row in choices)
            for number, most in enumerate(capacities)
        ]
        self._build(choices, rooms)

    def _build(self, choices: Sequence[Sequence[Choice[T]]], rooms: Sequence[int]) -> None:
        objective = self._solver.Objective()
        objective.SetMaximization()
        bounds = [self._solver.Constraint(-self._solver.infinity(), 1.0) for _ in rooms]
        for row, variables in zip(choices, self._variables, strict=True):
            if not variables:
                continue
            one = self._solver.Constraint(1, 1)
            worst = min(choice.score for choice in row)
            least = [min(choice.costs[number] for choice in row) for number in range(len(rooms))]
            for choice, variable in zip(row, variables, strict=True):
                one.SetCoefficient(variable, 1)
                objective.SetCoefficient(variable, (choice.score - worst) * self._scale)
                for number, room in enumerate(rooms):
                    extra = choice.costs[number] - least[number]
                    if extra > room:
                        variable.SetUb(0)
                    elif extra:
                        # Fractions of the room: of whole numbers SCIP would make tables as long as the room.
                        bounds[number].SetCoefficient(variable, extra / room)

    def run(self, limit_s: float) -> tuple[int, ...] | None:
        """The index of each item's choice; None if there is none."""
        parameters = pywraplp.MPSolverParameters()
        parameters.SetDoubleParam(parameters.RELATIVE_MIP_GAP, 0.0)
        self._solver.SetSolverSpecificParametersAsString(_PARAMETERS)
        self._solver.set_time_limit(max(1, int(limit_s * 1000)))
        status = self._solver.Solve(parameters)
        self.proven = status == pywraplp.Solver.OPTIMAL
        self.infeasible = status == pywraplp.Solver.INFEASIBLE
        if status not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
            return None
        return tuple(
            indices[_largest([variable.solution_value() for variable in row]) if row else 0]
            for indices, row in zip(self._kept, self._variables, strict=True)
        )

    def bound(self) -> float:
        """What no choice can exceed."""
        return float(self._solver.Objective().BestBound()) / self._scale + self._base


def _zip(programme: Programme[T], kept: Sequence[Sequence[int]]) -> zip[tuple[Item[T], Sequence[int]]]:
    return zip(programme.items, kept, strict=True)


def _undominated(item: Item[T]) -> tuple[int, ...]:
    """The choices that no other one of the layer replaces: one that costs no more and scores no less."""

    def replaces(other: int, index: int) -> bool:
        one, two = item.choices[other], item.choices[index]
        if one.score < two.score or any(a > b for a, b in zip(one.costs, two.costs, strict=True)):
            return False
        return (one.score, one.costs) != (two.score, two.costs) or other < index

    everything = range(len(item.choices))
    return tuple(
        index
        for index in everything
        if not any(replaces(other, index) for other in everything if other != index)
    )


def _largest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def _in_order(programme: Programme[T], chosen: Sequence[int]) -> tuple[int, ...]:
    """The same choices, handed out among layers that are alike so that the first get the dearest."""
    alike: dict[tuple[tuple[float, tuple[int, ...]], ...], list[int]] = defaultdict(list)
    for number, item in enumerate(programme.items):
        alike[tuple((choice.score, choice.costs) for choice in item.choices)].append(number)
    result = list(chosen)
    for key, numbers in alike.items():
        dearest_first = sorted(((key[chosen[number]][1], chosen[number]) for number in numbers), reverse=True)
        for number, (_, index) in zip(numbers, dearest_first, strict=True):
            result[number] = index
    return tuple(result)


def _out_of_time(limit_s: float) -> PlanError:
    return PlanError(f"no choice of bits was found within {limit_s:g} s; allow more time, or a larger budget")


def _explained(programme: Programme[T], limit_s: float) -> PlanError:
    """What is wrong with budgets of which each one alone could be kept."""
    for number, budget in enumerate(programme.budgets):
        if (cost := _cheapest(programme, number, limit_s)) is not None:
            return InfeasibleError(
                f"the budgets can't be kept together: within the others, the {budget.name} are at least "
                f"{budget.in_words(budget.shown(cost))}, and {budget.in_words(budget.limit)} was asked for; "
                f"the nearest budget that can be kept is {budget.at_least(cost)}"
            )
    low, high = (
        1.0,
        max(programme.most(n) / max(1, budget.capacity) for n, budget in enumerate(programme.budgets)),
    )
    while high - low > _FACTOR_STEP:
        middle = (low + high) / 2
        low, high = (low, middle) if _can_be_kept(programme, middle, limit_s) else (middle, high)
    nearest = ", ".join(
        f"{budget.name} {budget.in_words(budget.limit * high, up=True)}" for budget in programme.budgets
    )
    return InfeasibleError(
        "the budgets can't be kept together, and to raise one of them is not enough; the nearest that can be "
        f"kept are {high:.3f} times as large: {nearest}"
    )


def _can_be_kept(programme: Programme[T], factor: float, limit_s: float) -> bool:
    larger = programme.with_limits(*(budget.limit * factor for budget in programme.budgets))
    kept = [range(len(item.choices)) for item in larger.items]
    return _Search(larger, kept, [budget.capacity for budget in larger.budgets]).run(limit_s) is not None


def _cheapest(programme: Programme[T], number: int, limit_s: float) -> int | None:
    """The smallest cost of one budget that the others allow; None if it was not found in time."""
    items = tuple(
        Item(item.layer, tuple(_saving(choice, number) for choice in item.choices))
        for item in programme.items
    )
    others = tuple(
        Budget(budget.name, 1.0, programme.most(other)) if other == number else budget
        for other, budget in enumerate(programme.budgets)
    )
    free = Programme(items, others)
    kept = [range(len(item.choices)) for item in items]
    search = _Search(free, kept, [budget.capacity for budget in others])
    found = search.run(limit_s)
    return programme.costs(found)[number] if found is not None and search.proven else None


def _saving(choice: Choice[T], number: int) -> Choice[T]:
    return Choice(choice.value, -float(choice.costs[number]), choice.costs)
