"""What is explained: a plan of a model, the sensitivities that it is judged by, and where work is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixdq.compiler.allocate.subject import Part
from mixdq.configs.layer_sizes import input_elements
from mixdq.configs.layers import Group, LayerName, LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FLOAT_BITS
from mixdq.configs.sensitivity import Metric, Operand, SensitivityTable


@dataclass(frozen=True, slots=True)
class Case:
    """A plan and what there is to explain it by.

    Attributes:
        table: the model's layers.
        plan: checked against them.
        sensitivity: likewise; None if the layers' scores are not known.
        metrics: what decides in each group.
        resolution: pixels at which activations and operations are counted.

    Raises:
        PlanError: the plan has too few or too many layers, or the scores lack a metric.
        DigestError: the plan or the scores are another model's.
        ModelError: the layer table has no work at the resolution.
    """

    table: LayerTable
    plan: PrecisionPlan
    sensitivity: SensitivityTable | None
    metrics: Mapping[Group, Metric]
    resolution: int

    def __post_init__(self) -> None:
        self.plan.check(self.table)
        for layer in self.table:
            input_elements(layer, self.resolution)
        if self.sensitivity is not None:
            self.sensitivity.check(self.table)
            for part in self.scored_parts():
                self.sensitivity.require(part.operand, self.metrics[part.group], part.group, self.table)

    def scored_parts(self) -> tuple[Part, ...]:
        """The operands of groups that there are scores of; none without sensitivities."""
        known = {} if self.sensitivity is None else self.sensitivity.scores
        return tuple(part for part in Part if part.operand in known and self.layers(part))

    def layers(self, part: Part) -> tuple[LayerSpec, ...]:
        """The layers of a group, protected ones too."""
        return tuple(layer for layer in self.table if layer.group is part.group)

    def widths(self, operand: Operand) -> tuple[int, ...]:
        """The bits that an operand has scores at, ascending."""
        return () if self.sensitivity is None else self.sensitivity.widths.get(operand, ())

    def score(self, part: Part, name: LayerName, bits: int) -> float:
        """The score of a layer at one of the measured widths, by its group's metric."""
        assert self.sensitivity is not None
        return self.sensitivity.score(part.operand, self.metrics[part.group], name, bits)

    def bits(self, operand: Operand, name: LayerName) -> int:
        """What the plan gives a layer; 16 for floating point."""
        precision = self.plan[name]
        return precision.weight_bits if operand is Operand.WEIGHT else precision.activation_bits

    def size(self, operand: Operand, layer: LayerSpec) -> int:
        """What a layer's bits are weighted by: its weights, or the values that it reads."""
        return layer.weights if operand is Operand.WEIGHT else input_elements(layer, self.resolution)

    def mean_bits(self, part: Part) -> float | None:
        """Mean over the layers of a group that are quantized, weighted by their sizes; None if none is."""
        quantized = [layer for layer in self.layers(part) if self.bits(part.operand, layer.name) < FLOAT_BITS]
        sizes = {layer.name: self.size(part.operand, layer) for layer in quantized}
        total = sum(sizes.values())
        bits = sum(self.bits(part.operand, name) * size for name, size in sizes.items())
        return bits / total if total else None
