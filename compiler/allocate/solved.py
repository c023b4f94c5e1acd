"""Programmes with many budgets, of which no more are solved than differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mixdq.compiler.allocate.programme import InfeasibleError, Programme
from mixdq.compiler.allocate.solver import USUAL_LIMIT_S, Solution, solve
from mixdq.compiler.allocate.subject import Part, Subject

Watch = Callable[[int, int], None]
"""Told how many solves are done, of how many."""

Wanted = tuple[Part, float]
"""One of the four programmes with a budget of mean bits."""

Found = Solution[int] | InfeasibleError
"""The solution, or why there is none."""


def solve_all(
    subject: Subject, wanted: Sequence[Wanted], watch: Watch, *, limit_s: float = USUAL_LIMIT_S
) -> Mapping[Wanted, Found]:
    """Each programme with each budget, equal ones once.

    From the largest budget to the smallest: an optimum that costs no more than a smaller budget is the
    smaller one's too, because whatever else the smaller one pays, the larger one paid.
    """
    programmes = {part: subject.programme(part, 0.0) for part in dict.fromkeys(part for part, _ in wanted)}
    order = sorted(dict.fromkeys(wanted), key=lambda pair: (list(Part).index(pair[0]), -pair[1]))
    found: dict[Wanted, Found] = {}
    larger: dict[Part, Solution[int]] = {}
    for number, (part, mean) in enumerate(order):
        watch(number, len(order))
        programme = programmes[part].with_limits(mean)
        try:
            solution = _again(programme, larger.get(part)) or solve(programme, limit_s=limit_s)
        except InfeasibleError as error:
            found[part, mean] = error
        else:
            found[part, mean] = larger[part] = solution
    return found


def _again(programme: Programme[int], larger: Solution[int] | None) -> Solution[int] | None:
    """A larger budget's proven optimum, if this budget pays it as well."""
    if larger is None or not larger.proven or larger.costs[0] > programme.budgets[0].capacity:
        return None
    return replace(larger, programme=programme, seconds=0.0)
