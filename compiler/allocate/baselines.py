"""Other ways to spend the same budgets, which the programmes are compared with."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from mixdq.compiler.allocate.allocation import Allocation
from mixdq.compiler.allocate.programme import Budget, InfeasibleError, Programme
from mixdq.compiler.allocate.solver import solve
from mixdq.compiler.allocate.subject import Part, Subject, parts_of
from mixdq.configs.errors import PlanError
from mixdq.configs.layers import Group, LayerName
from mixdq.configs.sensitivity import Metric, Operand

T = TypeVar("T")

PERTURBED_SHARE = 0.2


class Baseline(StrEnum):
    """How bits are chosen instead.

    `random` draws them; `perturbed` draws those of a fifth of the optimum's layers; `sorted` gives the most
    bits to the layers that do worst with the fewest; `uniform` gives all layers of a programme the most bits
    that the budget pays; `sqnr` solves one programme over both groups, by SQNR alone: not decoupled.
    """

    RANDOM = "random"
    PERTURBED = "perturbed"
    SORTED = "sorted"
    UNIFORM = "uniform"
    SQNR = "sqnr"


def baseline(subject: Subject, budgets: Mapping[Part, float], kind: Baseline, seed: int) -> Allocation:
    """Bits within the same budgets, chosen otherwise; the same for the same seed.

    Args:
        subject: what to allocate.
        budgets: mean bits by programme.
        kind: how.
        seed: of `random` and `perturbed`.

    Raises:
        InfeasibleError: a budget below the smallest choice.
    """
    if kind is Baseline.SQNR:
        return _by_sqnr(subject, budgets)
    bits: dict[Operand, dict[LayerName, int]] = {operand: {} for operand in Operand}
    for part, mean in budgets.items():
        programme = subject.programme(part, mean)
        programme.check()
        # A stream of draws for each programme, so that one does not depend on what others there are.
        chosen = _choose(programme, kind, random.Random(f"{seed} {part}"))
        assert programme.fits(chosen)
        bits[part.operand] |= programme.values(chosen)
    return Allocation(subject, bits[Operand.WEIGHT], bits[Operand.ACTIVATION])


def _choose(programme: Programme[int], kind: Baseline, draw: random.Random) -> tuple[int, ...]:
    match kind:
        case Baseline.RANDOM:
            return drawn(programme, draw)
        case Baseline.PERTURBED:
            return perturbed(programme, solve(programme).chosen, draw)
        case Baseline.SORTED:
            return most_sensitive_first(programme)
        case _:
            return uniform(programme)


def drawn(programme: Programme[T], draw: random.Random) -> tuple[int, ...]:
    """A random choice for every layer, then random layers lowered, or raised, to the budget."""
    chosen = [draw.randrange(len(item.choices)) for item in programme.items]
    return _fitted(programme, chosen, range(len(chosen)), draw)


def perturbed(programme: Programme[T], optimum: Sequence[int], draw: random.Random) -> tuple[int, ...]:
    """The optimum, with a fifth of the layers drawn anew and fitted to what the others leave."""
    count = math.ceil(PERTURBED_SHARE * len(optimum))
    some = sorted(draw.sample(range(len(optimum)), count))
    chosen = list(optimum)
    for number in some:
        chosen[number] = draw.randrange(len(programme.items[number].choices))
    return _fitted(programme, chosen, some, draw)


def most_sensitive_first(programme: Programme[T]) -> tuple[int, ...]:
    """Layers by their score at the cheapest choice, lowest first: each gets the dearest that still fits."""
    chosen = [_by_cost(programme, number)[0] for number in range(len(programme.items))]
    room = _room(programme, chosen)

    def least(number: int) -> float:
        return programme.items[number].choices[chosen[number]].score

    for number in sorted(range(len(chosen)), key=least):
        room = _raise(programme, chosen, number, room)
    return tuple(chosen)


def uniform(programme: Programme[T]) -> tuple[int, ...]:
    """The same value for all layers: the dearest that the budget pays.

    Raises:
        InfeasibleError: no value is offered to every layer and paid by the budget.
    """
    first, *others = programme.items
    shared = [
        choice.value
        for choice in first.choices
        if all(choice.value in [other.value for other in item.choices] for item in others)
    ]
    candidates = [
        programme.indices(dict.fromkeys((item.layer for item in programme.items), value)) for value in shared
    ]
    fitting = [chosen for chosen in candidates if programme.fits(chosen)]
    if not fitting:
        raise InfeasibleError(
            f"no width that all layers may have fits {programme.budgets[0].limit:g} "
            f"{programme.budgets[0].name}; raise the budget"
        )
    return max(fitting, key=programme.costs)


def _by_sqnr(subject: Subject, budgets: Mapping[Part, float]) -> Allocation:
    alike = replace(subject, metrics=dict.fromkeys(Group, Metric.SQNR))
    bits: dict[Operand, Mapping[LayerName, int]] = {operand: {} for operand in Operand}
    for operand in Operand:
        parts = [part for part in parts_of(operand) if part in budgets]
        if parts:
            whole = _joined(alike, parts, budgets)
            bits[operand] = whole.values(solve(whole).chosen)
    return Allocation(subject, bits[Operand.WEIGHT], bits[Operand.ACTIVATION])


def _joined(subject: Subject, parts: Collection[Part], budgets: Mapping[Part, float]) -> Programme[int]:
    """One programme of several, which may cost together what each might."""
    programmes = [subject.programme(part, budgets[part]) for part in parts]
    capacity = sum(min(programme.budgets[0].capacity, programme.most(0)) for programme in programmes)
    total = sum(subject.total(part) for part in parts)
    items = tuple(item for programme in programmes for item in programme.items)
    operand = next(iter(parts)).operand
    return Programme(items, (Budget(f"mean {operand} bits", capacity / total, total),))


def _fitted(
    programme: Programme[T], chosen: list[int], free: Sequence[int], draw: random.Random
) -> tuple[int, ...]:
    """Some layers, in random order, lowered step by step into the budget; then raised into what is left."""
    if len(programme.budgets) != 1:
        raise PlanError(f"a baseline spends one budget, not {len(programme.budgets)}; give one")
    order = list(free)
    room = _room(programme, chosen)
    while room < 0:
        draw.shuffle(order)
        for number in order:
            if room < 0:
                room += _lower(programme, chosen, number)
    draw.shuffle(order)
    for number in order:
        room = _raise(programme, chosen, number, room)
    return tuple(chosen)


def _room(programme: Programme[T], chosen: Sequence[int]) -> int:
    return programme.budgets[0].capacity - programme.costs(chosen)[0]


def _by_cost(programme: Programme[T], number: int) -> list[int]:
    choices = programme.items[number].choices
    return sorted(range(len(choices)), key=lambda index: choices[index].costs)


def _lower(programme: Programme[T], chosen: list[int], number: int) -> int:
    """Takes a layer's next cheaper choice, if there is one; gives what that saves."""
    order, choices = _by_cost(programme, number), programme.items[number].choices
    place = order.index(chosen[number])
    if place == 0:
        return 0
    saved = choices[chosen[number]].costs[0] - choices[order[place - 1]].costs[0]
    chosen[number] = order[place - 1]
    return saved


def _raise(programme: Programme[T], chosen: list[int], number: int, room: int) -> int:
    """Takes a layer's dearest choice that fits; gives the room that is left."""
    choices = programme.items[number].choices
    now = choices[chosen[number]].costs[0]
    for index in reversed(_by_cost(programme, number)):
        more = choices[index].costs[0] - now
        if more <= room:
            chosen[number] = index
            return room - more
    return room
