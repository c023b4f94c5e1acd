"""Candidates: the programmes' optima at every split of the budgets between content and quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from mixdq.compiler.allocate.allocation import Allocation, combine
from mixdq.compiler.allocate.amounts import rounded_up
from mixdq.compiler.allocate.budgets import Split, pays_smallest, smallest_mean, split_budgets
from mixdq.compiler.allocate.joint import scaled_score
from mixdq.compiler.allocate.programme import InfeasibleError
from mixdq.compiler.allocate.solved import Found, Wanted, Watch, solve_all
from mixdq.compiler.allocate.solver import USUAL_LIMIT_S, Solution
from mixdq.compiler.allocate.subject import Part, Subject, parts_of
from mixdq.compiler.allocate.sweep import spaced
from mixdq.configs.errors import PlanError
from mixdq.configs.precision import FLOAT_BITS
from mixdq.configs.sensitivity import Operand

OPTIMUM = "optimum"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to spend the budgets.

    Attributes:
        kind: `optimum`, or the name of a baseline.
        ratios: content's mean bits over quality's, by operand; none of an operand that is not split.
        budgets: mean bits by programme.
        allocation: bits of every layer; None if the budgets can't be kept.
        shares: by programme, of what there is to gain, 0 to 1; see `scaled_score`.
        proven: whether all its programmes are proven optimal.
        reason: why the budgets can't be kept; empty if they can.
    """

    kind: str
    ratios: Mapping[Operand, float]
    budgets: Mapping[Part, float]
    allocation: Allocation | None
    shares: Mapping[Part, float]
    proven: bool = False
    reason: str = ""

    @property
    def objective(self) -> float:
        """The sum of the shares: 4 at most, 2 with activations in FP16; 0 if the budgets can't be kept."""
        return sum(self.shares.values())


def of_allocation(kind: str, budgets: Mapping[Part, float], allocation: Allocation) -> Candidate:
    """A candidate that was chosen in another way than by the programmes."""
    bits = {Operand.WEIGHT: allocation.weights, Operand.ACTIVATION: allocation.activations}
    gained = {part: scaled_score(allocation.subject, part, bits[part.operand]) for part in budgets}
    return Candidate(kind, {}, budgets, allocation, gained)


def candidates(
    subject: Subject,
    weight_bits: float,
    activation_bits: float,
    ratios: Mapping[Operand, Sequence[float]],
    watch: Watch,
    *,
    limit_s: float = USUAL_LIMIT_S,
) -> tuple[Candidate, ...]:
    """The optima of every pair of splits, in the order of the ratios; weights' outermost.

    Activations that all may have their largest width are not split, nor are those that stay FP16.

    Args:
        subject: what to allocate.
        weight_bits: mean, weighted by size.
        activation_bits: likewise; 16 for FP16.
        ratios: the paper's k, by operand.
        watch: told of each programme.
        limit_s: of each programme.

    Raises:
        PlanError: a mean or a ratio that is none.
        InfeasibleError: no split can be kept; names the nearest mean of which one can.
    """
    weights = _splits(subject, Operand.WEIGHT, weight_bits, ratios[Operand.WEIGHT])
    activations = _splits(subject, Operand.ACTIVATION, activation_bits, ratios[Operand.ACTIVATION])
    wanted = [pair for split in (*weights, *activations) for pair in split.budgets.items()]
    found = solve_all(subject, wanted, watch, limit_s=limit_s)
    return _made(subject, list(product(weights, activations)), found)


def grid(
    subject: Subject,
    count: int,
    activation_bits: float,
    activation_ratio: float,
    watch: Watch,
    *,
    limit_s: float = USUAL_LIMIT_S,
) -> tuple[Candidate, ...]:
    """The optima of count by count budgets of weights, from each group's smallest width to its largest.

    Args:
        subject: what to allocate.
        count: budgets of a group.
        activation_bits: mean, the same for all; 16 for FP16.
        activation_ratio: of its split.
        watch: told of each programme.
        limit_s: of each programme.

    Raises:
        PlanError: fewer than two budgets a group, or a mean that is none.
        InfeasibleError: the activations' budget can't be kept.
    """
    if count < 2:
        raise PlanError(f"a grid of {count} by {count} budgets is none; use at least 2")
    content, quality = parts_of(Operand.WEIGHT)
    pairs = product(spaced(subject.widths[content], count), spaced(subject.widths[quality], count))
    weights = [_Split(Operand.WEIGHT, one / two, {content: one, quality: two}) for one, two in pairs]
    activations = _splits(subject, Operand.ACTIVATION, activation_bits, (activation_ratio,))
    wanted = [pair for split in (*weights, *activations) for pair in split.budgets.items()]
    found = solve_all(subject, wanted, watch, limit_s=limit_s)
    return _made(subject, list(product(weights, activations)), found)


@dataclass(frozen=True, slots=True)
class _Split:
    """One operand's budgets, and the ratio that they come from; no budgets of what stays FP16."""

    operand: Operand
    ratio: float | None
    budgets: Mapping[Part, float]


def _splits(subject: Subject, operand: Operand, mean: float, ratios: Sequence[float]) -> list[_Split]:
    parts = [part for part in parts_of(operand) if subject.layers(part)]
    if operand is Operand.ACTIVATION and mean == FLOAT_BITS:
        return [_Split(operand, None, {})]
    most = max(subject.widths[part][-1] for part in parts)
    if mean > most:
        raise PlanError(
            f"a mean of {mean:g} {operand} bits is more than any width to choose from; give at most {most}"
            f"{', or 16 for FP16' if operand is Operand.ACTIVATION else ''}"
        )
    if mean == most:
        return [_Split(operand, None, dict.fromkeys(parts, mean))]
    splits = [_Split(operand, ratio, split_budgets(subject, operand, Split(mean, ratio))) for ratio in ratios]
    if len(parts) == 1:
        splits = [_Split(operand, None, dict.fromkeys(parts, mean))]
    if not any(pays_smallest(subject, split.budgets) for split in splits):
        raise _too_small(subject, operand, mean, ratios)
    return splits


def _too_small(subject: Subject, operand: Operand, mean: float, ratios: Sequence[float]) -> InfeasibleError:
    """That a mean can't be kept at any ratio; names the smallest that can, at one of them."""
    parts = [part for part in parts_of(operand) if subject.layers(part)]
    needed, ratio = min((smallest_mean(subject, operand, ratio, parts), ratio) for ratio in ratios)
    most = max(subject.widths[part][-1] for part in parts)
    bits = rounded_up(needed, 6)
    nearest = (
        f"no mean up to {most} is enough for it; choose ratios nearer to 1"
        if needed > most
        else f"the nearest that can be kept is --{operand}-bits {bits}"
    )
    return InfeasibleError(
        f"--{operand}-bits {mean:g} can't be kept at any split of content to quality that was asked for: the "
        f"smallest choices need {bits} mean {operand} bits, at a ratio of {ratio:g}; {nearest}"
    )


def _made(
    subject: Subject, pairs: Sequence[Sequence[_Split]], found: Mapping[Wanted, Found]
) -> tuple[Candidate, ...]:
    gained = {
        (part, mean): scaled_score(subject, part, solution.programme.values(solution.chosen))
        for (part, mean), solution in found.items()
        if isinstance(solution, Solution)
    }
    return tuple(_candidate(subject, pair, found, gained) for pair in pairs)


def _candidate(
    subject: Subject,
    splits: Sequence[_Split],
    found: Mapping[Wanted, Found],
    gained: Mapping[Wanted, float],
) -> Candidate:
    ratios = {split.operand: split.ratio for split in splits if split.ratio is not None}
    budgets = {part: mean for split in splits for part, mean in split.budgets.items()}
    solutions: dict[Part, Solution[int]] = {}
    for part, mean in budgets.items():
        answer = found[part, mean]
        if isinstance(answer, InfeasibleError):
            return Candidate(OPTIMUM, ratios, budgets, None, {}, reason=str(answer))
        solutions[part] = answer
    return Candidate(
        OPTIMUM,
        ratios,
        budgets,
        combine(subject, solutions),
        {pair[0]: gained[pair] for pair in budgets.items()},
        all(solution.proven for solution in solutions.values()),
    )
