"""A search as it is asked for, and its result in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.allocate.allocation import Allocation, allocate
from mixdq.compiler.allocate.amounts import memory_in_words, rounded_up
from mixdq.compiler.allocate.baselines import Baseline, baseline
from mixdq.compiler.allocate.budgets import Split, pays_smallest, smallest_mean, split_budgets
from mixdq.compiler.allocate.joint import (
    GIB_IN_BITS,
    MOST_BITS,
    JointBudgets,
    allocation_of,
    joint_programme,
)
from mixdq.compiler.allocate.layer_times import LayerTimes
from mixdq.compiler.allocate.programme import InfeasibleError
from mixdq.compiler.allocate.solver import USUAL_LIMIT_S, Solution, solve
from mixdq.compiler.allocate.subject import Part, Subject
from mixdq.configs.errors import PlanError
from mixdq.configs.mixdq_format.bitmap import bitmaps_of_plan
from mixdq.configs.mixdq_format.protected import write_protected
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FLOAT_BITS
from mixdq.configs.sensitivity import Operand


@dataclass(frozen=True, slots=True)
class Request:
    """Budgets, and which programmes to solve within them.

    Attributes:
        budgets: over all groups.
        ratios: the split of weight and activation bits between the groups; see `Split`.
        direct: budgets of single programmes, instead of what the split gives them.
        joint: one programme instead of four; a budget of latency needs it.
        times: of the layers, for a budget of latency.
        limit_s: of each programme.
    """

    budgets: JointBudgets
    ratios: Mapping[Operand, float]
    direct: Mapping[Part, float]
    joint: bool
    times: LayerTimes | None
    limit_s: float = USUAL_LIMIT_S

    def solve(self, subject: Subject) -> Answer:
        """The optimum.

        Raises:
            PlanError: budgets that exclude each other, or are missing.
            InfeasibleError: budgets that can't be kept.
        """
        if not self.joint:
            allocation, solutions = allocate(subject, self.part_budgets(subject), limit_s=self.limit_s)
            return Answer(allocation, {str(part): solution for part, solution in solutions.items()})
        if any(ratio != 1 for ratio in self.ratios.values()):
            raise PlanError(
                "the joint programme splits the bits itself; leave out --ratio and --activation-ratio"
            )
        if self.direct:
            raise PlanError(
                "--budget bounds one of the four programmes, and the joint programme has none of them; leave "
                "it out, or --joint and --latency-ms"
            )
        solution = solve(joint_programme(subject, self.budgets, self.times), limit_s=self.limit_s)
        return Answer(allocation_of(subject, solution), {"joint": solution})

    def baseline(self, subject: Subject, kind: Baseline, seed: int) -> Answer:
        """Another way to spend the budgets of the four programmes.

        Raises:
            PlanError: the joint programme, which has no baselines.
        """
        if self.joint:
            raise PlanError("the baselines spend the budgets of the four programmes; leave out --joint")
        return Answer(baseline(subject, self.part_budgets(subject), kind, seed), {})

    def part_budgets(self, subject: Subject) -> Mapping[Part, float]:
        """Mean bits of each of the four programmes.

        Raises:
            PlanError: an operand without a budget.
            InfeasibleError: a mean that is too small to be split so; names the nearest that is not.
        """
        result: dict[Part, float] = {}
        for operand in Operand:
            mean = self.mean(subject, operand)
            parts = [part for part in Part if part.operand is operand and subject.layers(part)]
            if mean == FLOAT_BITS and operand is Operand.ACTIVATION:
                continue
            if mean is not None:
                result |= split_budgets(subject, operand, Split(mean, self.ratios[operand]))
            result |= {part: self.direct[part] for part in parts if part in self.direct}
            if missing := [str(part) for part in parts if part not in result]:
                raise PlanError(
                    f"no budget for {' and '.join(missing)}; give --{operand}-bits"
                    f"{' (16 for FP16)' if operand is Operand.ACTIVATION else ' or --memory'}, or --budget "
                    "for each"
                )
            split = {part: result[part] for part in parts if part not in self.direct}
            if mean is not None and not pays_smallest(subject, split):
                raise self._too_small(subject, operand, mean, split)
        return result

    def mean(self, subject: Subject, operand: Operand) -> float | None:
        """Mean bits of an operand over both groups: as given, of weights no more than memory holds."""
        if operand is Operand.ACTIVATION:
            return self.budgets.activation_bits
        memory = self.budgets.memory_gib
        if memory is None:
            return self.budgets.weight_bits
        by_memory = memory * GIB_IN_BITS / _weights(subject)
        return min(by_memory, self.budgets.weight_bits or by_memory)

    def _too_small(
        self, subject: Subject, operand: Operand, mean: float, parts: Mapping[Part, float]
    ) -> InfeasibleError:
        """That a mean can't be split, in the options that gave it."""
        needed = smallest_mean(subject, operand, self.ratios[operand], parts)
        bits, most = rounded_up(needed, 6), max(mean, float(needed))
        of_weights = operand is Operand.WEIGHT
        asked = self.budgets.weight_bits if of_weights else self.budgets.activation_bits
        memory = self.budgets.memory_gib if of_weights else None
        option = "--ratio" if of_weights else "--activation-ratio"
        given, nearest, takes = [], [], f"{bits} mean {operand} bits"
        if memory is not None and memory * GIB_IN_BITS / _weights(subject) <= most:
            enough = memory_in_words(needed * _weights(subject), up=True)
            given.append(f"--memory {memory_in_words(memory * GIB_IN_BITS)}")
            nearest.append(f"--memory {enough}")
            takes = f"{enough} ({takes})"
        if asked is not None and asked <= most:
            given.append(f"--{operand}-bits {asked:g}")
            nearest.append(f"--{operand}-bits {bits}")
        if asked is not None and needed > MOST_BITS:
            ending = f"no mean up to {MOST_BITS} is enough for it; choose {option} nearer to 1"
        else:
            ending = f"the nearest that can be kept is {' with '.join(nearest)}"
        return InfeasibleError(
            f"{' with '.join(given)} can't be kept: at this split of content to quality ({option} "
            f"{self.ratios[operand]:g}) the smallest choices need {takes}; {ending}"
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search found.

    Attributes:
        allocation: bits for every layer.
        solutions: the programmes' solutions by name; none of a baseline.
    """

    allocation: Allocation
    solutions: Mapping[str, Solution[Any]]

    def in_words(self) -> Iterator[RenderableType]:
        """The programmes in a table, and what the whole comes to."""
        if self.solutions:
            yield self._table()
        allocation, layers = self.allocation, self.allocation.subject.table
        floating = len(layers) - len(allocation.activations)
        yield (
            f"effective bits: weights {allocation.mean_bits(Operand.WEIGHT):.4f} (weighted by their number); "
            f"activations {allocation.mean_bits(Operand.ACTIVATION):.4f} (weighted by the values a layer "
            f"reads at {allocation.subject.resolution} pixels), with {floating} layers in FP16 "
            f"{allocation.mean_activation_bits_with_protected:.4f}"
        )
        yield (
            f"packed weights: {allocation.weight_bytes:,} bytes "
            f"({memory_in_words(allocation.weight_bytes * 8)}), without scales, biases and what is no "
            "quantizable layer"
        )
        scores = (f"{part} {allocation.score(part):.6g}" for part in Part)
        yield f"objectives: {', '.join(scores)}"
        if self.solutions:
            unproven = [name for name, solution in self.solutions.items() if not solution.proven]
            seconds = sum(solution.seconds for solution in self.solutions.values())
            found = f"not proven optimal: {', '.join(unproven)}" if unproven else "proven optimal"
            yield f"{found}, {seconds:.2f} s"

    def _table(self) -> Table:
        view = Table("programme", "layers", "budget", "limit", "taken", "objective", "gap", "seconds")
        for column in view.columns[3:]:
            column.justify = "right"
        for name, solution in self.solutions.items():
            for number, budget in enumerate(solution.programme.budgets):
                gap = "0" if solution.proven else f"{solution.bound - solution.score:.3g}"
                first = number == 0
                view.add_row(
                    name if first else "",
                    str(len(solution.programme.items)) if first else "",
                    budget.name,
                    budget.in_words(budget.limit, ".4f"),
                    budget.in_words(solution.shown(number), ".4f"),
                    f"{solution.score:.6f}" if first else "",
                    gap if first else "",
                    f"{solution.seconds:.2f}" if first else "",
                )
        return view


def _weights(subject: Subject) -> int:
    return sum(layer.weights for layer in subject.table)


def write_mixdq(folder: Path, plan: PrecisionPlan, allocation: Allocation) -> tuple[Path, ...]:
    """Writes MixDQ's files: bit maps named after the mean bits that they hold, and the protected layers."""
    weights, activations = bitmaps_of_plan(plan)
    protected = folder / "act_protected.pt"
    named = {folder / "weight" / f"weight_{allocation.mean_bits(Operand.WEIGHT):.2f}.yaml": weights}
    if activations.bits:
        named[folder / "act" / f"act_{allocation.mean_bits(Operand.ACTIVATION):.2f}.yaml"] = activations
    for path, bitmap in named.items():
        bitmap.write(path)
    write_protected(protected, sorted(allocation.subject.protected))
    return (*named, protected)
