"""Plans of many budgets and kinds, and what each is expected to be worth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mixdq.compiler.allocate.allocation import Allocation
from mixdq.compiler.allocate.baselines import Baseline, baseline
from mixdq.compiler.allocate.subject import Subject
from mixdq.compiler.search.candidates import Candidate, candidates, of_allocation
from mixdq.configs.errors import EvaluationError
from mixdq.configs.sensitivity import Metric, Objective, Operand

LEAST_PLANS = 30
"""Fewer say too little about a correlation."""

MOST_BITS = 8

KINDS = (Baseline.RANDOM, Baseline.PERTURBED, Baseline.SORTED, Baseline.SQNR)
"""What the optimum is compared with. `uniform` is left out: at most budgets it leaves bits unspent."""

LEAST_NOISE = "least noise"
"""The programmes' optimum where they add up the power that is lost, instead of the scores."""

OBJECTIVE, NOISE = "objective", "added_noise_db"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan that is to be judged.

    Attributes:
        weight_bits: the budget, a mean.
        activation_bits: likewise.
        candidate: how it is spent.
        expected: what it should be worth, by predictor: the summed shares, each programme's own objective
            by its name, and the SQNR of the output if all layers' errors added up as independent noise.
    """

    weight_bits: float
    activation_bits: float
    candidate: Candidate
    expected: Mapping[str, float]

    @property
    def budget(self) -> str:
        """The two means in a few letters."""
        return f"W{self.weight_bits:.4g}A{self.activation_bits:.4g}"


def check_request(count: int, low: float, high: float) -> None:
    """Refuses what no correlation follows from.

    Raises:
        EvaluationError: too few plans, or no range of budgets.
    """
    if count < LEAST_PLANS:
        raise EvaluationError(
            f"a correlation over {count} plans says little; draw at least {LEAST_PLANS} with --plans"
        )
    if not 0 < low < high <= MOST_BITS:
        raise EvaluationError(
            f"means from {low:g} to {high:g} weight bits are no range; give --low below --high, {MOST_BITS} "
            "at most"
        )


def draw_plans(
    subject: Subject, count: int, low: float, high: float, activation_bits: Sequence[float], seed: int
) -> Iterator[Drawn]:
    """Plans of evenly spaced budgets: of each the optimum and the baselines, both groups with one mean.

    Args:
        subject: what to allocate, by its scores.
        count: how many plans at least.
        low: least mean of weight bits.
        high: greatest.
        activation_bits: means, taken in turns.
        seed: of random baselines; each budget draws its own.

    Raises:
        EvaluationError: too few plans, or no range of budgets.
        InfeasibleError: a budget below the smallest choice.
    """
    check_request(count, low, high)
    budgets = math.ceil(count / (2 + len(KINDS)))
    for number in range(budgets):
        weight = low + (high - low) * number / (budgets - 1)
        activation = activation_bits[number % len(activation_bits)]
        for candidate in _ways(subject, weight, activation, seed + number):
            assert candidate.allocation is not None
            yield Drawn(weight, activation, candidate, expectations(candidate, candidate.allocation))


def expectations(candidate: Candidate, allocation: Allocation) -> dict[str, float]:
    """Every predictor's figure."""
    expected = {OBJECTIVE: candidate.objective, NOISE: added_noise_db(allocation)}
    return expected | {str(part): allocation.score(part) for part in candidate.budgets}


def added_noise_db(allocation: Allocation) -> float:
    """The SQNR if every layer's error, weights and activations apart, were independent of all others.

    Powers of independent errors add up, so this is -10 log10 of the sum of 10^(-SQNR / 10). It is not what
    the programmes maximize: they sum decibels, in which a layer that nobody hears counts like a loud one.
    """
    scores = allocation.subject.sensitivity
    power = sum(
        10 ** (-scores.score(operand, Metric.SQNR, name, width) / 10)
        for operand, bits in (
            (Operand.WEIGHT, allocation.weights),
            (Operand.ACTIVATION, allocation.activations),
        )
        for name, width in bits.items()
    )
    return -10 * math.log10(power)


def _ways(subject: Subject, weight: float, activation: float, seed: int) -> Iterator[Candidate]:
    optimum = _optimum(subject, weight, activation)
    yield optimum
    quiet = _optimum(replace(subject, objective=Objective.NOISE), weight, activation).allocation
    assert quiet is not None
    found = {LEAST_NOISE: replace(quiet, subject=subject)}
    found |= {str(kind): baseline(subject, optimum.budgets, kind, seed) for kind in KINDS}
    for kind, allocation in found.items():
        yield of_allocation(kind, optimum.budgets, allocation)


def _optimum(subject: Subject, weight: float, activation: float) -> Candidate:
    even = dict.fromkeys(Operand, (1.0,))
    (found,) = candidates(subject, weight, activation, even, lambda done, total: None)
    return found
