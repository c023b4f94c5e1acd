"""The result of a search: bits for every layer, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixdq.compiler.allocate.solver import USUAL_LIMIT_S, Solution, solve
from mixdq.compiler.allocate.subject import Part, Subject
from mixdq.configs.layers import LayerName
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FLOAT_BITS, Precision
from mixdq.configs.sensitivity import Operand


@dataclass(frozen=True, slots=True)
class Allocation:
    """Bits of every layer's weight and activation.

    Attributes:
        subject: what was allocated.
        weights: bits by layer.
        activations: bits by layer; a layer that is not named stays FP16.
    """

    subject: Subject
    weights: Mapping[LayerName, int]
    activations: Mapping[LayerName, int]

    def plan(self, *, bos_aware: bool, split_shortcuts: bool) -> PrecisionPlan:
        """The plan, for the weights that the sensitivities were measured on, if that is known."""
        table, model = self.subject.table, self.subject.sensitivity.model
        return PrecisionPlan(
            layers_digest=table.digest,
            model_digest=None if model is None else model.digest,
            bos_aware=bos_aware,
            split_shortcuts=split_shortcuts,
            layers={
                layer.name: Precision(self.weights[layer.name], self.activations.get(layer.name, FLOAT_BITS))
                for layer in table
            },
        )

    def mean_bits(self, operand: Operand) -> float:
        """Mean over the layers that are quantized, weighted by their sizes; 16 if there are none."""
        bits = self.weights if operand is Operand.WEIGHT else self.activations
        sizes = {name: self.subject.size(operand, self.subject.table[name]) for name in bits}
        total = sum(sizes.values())
        return sum(bits[name] * size for name, size in sizes.items()) / total if total else float(FLOAT_BITS)

    @property
    def mean_activation_bits_with_protected(self) -> float:
        """Mean over all layers, those that stay FP16 counted with 16 bits."""
        sizes = {layer.name: self.subject.size(Operand.ACTIVATION, layer) for layer in self.subject.table}
        bits = sum(size * self.activations.get(name, FLOAT_BITS) for name, size in sizes.items())
        return bits / sum(sizes.values())

    @property
    def weight_bytes(self) -> int:
        """All layers' weights, packed to their widths; without scales, biases and other parameters."""
        return -(-sum(self.subject.table[name].weights * bits for name, bits in self.weights.items()) // 8)

    def score(self, part: Part) -> float:
        """The objective of one of the four programmes."""
        bits = self.weights if part.operand is Operand.WEIGHT else self.activations
        return sum(
            self.subject.score(part, layer, bits[layer.name])
            for layer in self.subject.layers(part)
            if layer.name in bits
        )


def allocate(
    subject: Subject, budgets: Mapping[Part, float], *, limit_s: float = USUAL_LIMIT_S
) -> tuple[Allocation, Mapping[Part, Solution[int]]]:
    """Solves the programmes that have a budget, each for itself (paper, section 3.3).

    Activations without a budget stay FP16.

    Args:
        subject: what to allocate.
        budgets: mean bits; both groups' weights at least.
        limit_s: of each programme; see `solve`.

    Raises:
        InfeasibleError: a budget below the smallest choice.
    """
    solutions = {
        part: solve(subject.programme(part, mean), limit_s=limit_s) for part, mean in budgets.items()
    }
    return combine(subject, solutions), solutions


def combine(subject: Subject, solutions: Mapping[Part, Solution[int]]) -> Allocation:
    """One allocation of the programmes' solutions."""
    bits: dict[Operand, dict[LayerName, int]] = {operand: {} for operand in Operand}
    for part, solution in solutions.items():
        bits[part.operand] |= solution.programme.values(solution.chosen)
    return Allocation(subject, bits[Operand.WEIGHT], bits[Operand.ACTIVATION])
