"""Candidates: the programmes' optima at every split of the budgets between content and quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from mixdq.compiler.allocate.allocation import FLOAT_BITS, Allocation, combine
from mixdq.compiler.allocate.budgets import Split, split_budgets
from mixdq.compiler.allocate.joint import scaled_score
from mixdq.compiler.allocate.programme import InfeasibleError
from mixdq.compiler.allocate.solved import Found, Wanted, Watch, solve_all
from mixdq.compiler.allocate.solver import USUAL_LIMIT_S, Solution
from mixdq.compiler.allocate.subject import Part, Subject, parts_of
from mixdq.compiler.allocate.sweep import spaced
from mixdq.configs.errors import PlanError
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
        InfeasibleError: no split can be kept; why the first one can't.
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
    if mean == most or len(parts) == 1:
        return [_Split(operand, None, dict.fromkeys(parts, mean))]
    return [_Split(operand, ratio, split_budgets(subject, operand, Split(mean, ratio))) for ratio in ratios]


def _made(
    subject: Subject, pairs: Sequence[Sequence[_Split]], found: Mapping[Wanted, Found]
) -> tuple[Candidate, ...]:
    gained = {
        (part, mean): scaled_score(subject, part, solution.programme.values(solution.chosen))
        for (part, mean), solution in found.items()
        if isinstance(solution, Solution)
    }
    made = tuple(_candidate(subject, pair, found, gained) for pair in pairs)
    if all(candidate.allocation is None for candidate in made):
        raise InfeasibleError(f"none of the {len(made)} splits can be kept; of the first: {made[0].reason}")
    return made


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
