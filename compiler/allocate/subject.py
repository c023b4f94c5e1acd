"""What is allocated: a model's layers, their sensitivities, the bits they may get, the layers left alone."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import Enum

from mixdq.compiler.allocate.programme import Budget, Choice, Item, Programme
from mixdq.compiler.legal.menu import Menu
from mixdq.configs.errors import PlanError
from mixdq.configs.layer_sizes import input_elements
from mixdq.configs.layers import Group, LayerName, LayerSpec, LayerTable
from mixdq.configs.sensitivity import Metric, Objective, Operand, SensitivityTable


class Part(Enum):
    """One of the four programmes: the weights or activations of one group."""

    CONTENT_WEIGHTS = (Group.CONTENT, Operand.WEIGHT)
    QUALITY_WEIGHTS = (Group.QUALITY, Operand.WEIGHT)
    CONTENT_ACTIVATIONS = (Group.CONTENT, Operand.ACTIVATION)
    QUALITY_ACTIVATIONS = (Group.QUALITY, Operand.ACTIVATION)

    @property
    def group(self) -> Group:
        """Content or quality."""
        return self.value[0]

    @property
    def operand(self) -> Operand:
        """Weight or activation."""
        return self.value[1]

    def __str__(self) -> str:
        return f"{self.group}.{self.operand}"


def parts_of(operand: Operand) -> tuple[Part, Part]:
    """The content and the quality programme of an operand."""
    content, quality = (part for part in Part if part.operand is operand)
    return content, quality


Widths = Mapping[Part, tuple[int, ...]]

PAPER_WIDTHS: Widths = {
    Part.CONTENT_WEIGHTS: (2, 4, 8),
    Part.QUALITY_WEIGHTS: (4, 8),
    Part.CONTENT_ACTIVATIONS: (4, 8),
    Part.QUALITY_ACTIVATIONS: (4, 8),
}
"""The bits that the paper chooses from."""

ALL_WIDTHS: Widths = {part: (2, 4, 8) if part.operand is Operand.WEIGHT else (4, 8) for part in Part}
"""The same with 2 bits for quality layers too: at small means they pay for layers that need 8."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the programmes are made of.

    Attributes:
        table: the model's layers.
        sensitivity: checked against them.
        metrics: what decides in each group.
        widths: what a layer may get, by programme, ascending.
        resolution: pixels at which activations are counted.
        protected: layers whose activation stays FP16; the programmes of activations leave them out.
        objective: what is added up; the paper's unless said otherwise.
        menu: what a target runs, which the joint programme then chooses from; None for any pair of widths.

    Raises:
        PlanError: the sensitivities are not complete, or lack a metric or width.
        DigestError: they are another model's.
    """

    table: LayerTable
    sensitivity: SensitivityTable
    metrics: Mapping[Group, Metric]
    widths: Widths
    resolution: int
    protected: Set[LayerName]
    menu: Menu | None = None
    objective: Objective = Objective.SCORES

    def __post_init__(self) -> None:
        self.sensitivity.check(self.table)
        for part in Part:
            _check_widths(part, self.widths[part], self.sensitivity)
        for group, metric in self.metrics.items():
            for operand in Operand:
                self.sensitivity.require(operand, metric, group, self.table)

    def layers(self, part: Part) -> tuple[LayerSpec, ...]:
        """The layers of a programme."""
        return tuple(
            layer
            for layer in self.table
            if layer.group is part.group
            and not (part.operand is Operand.ACTIVATION and layer.name in self.protected)
        )

    def size(self, operand: Operand, layer: LayerSpec) -> int:
        """What a layer's bits are weighted by: its weights, or the values that it reads."""
        return layer.weights if operand is Operand.WEIGHT else input_elements(layer, self.resolution)

    def total(self, part: Part) -> int:
        """The size of all layers of a programme."""
        return sum(self.size(part.operand, layer) for layer in self.layers(part))

    def score(self, part: Part, layer: LayerSpec, bits: int) -> float:
        """What a layer at a width adds to the objective, by its group's metric."""
        metric = self.metrics[part.group]
        return self.objective.of(metric, self.sensitivity.score(part.operand, metric, layer.name, bits))

    def programme(self, part: Part, mean_bits: float) -> Programme[int]:
        """One of the four programmes (paper, equation 2), with a budget of mean bits.

        Raises:
            PlanError: it has no layers.
        """
        items = tuple(self._item(part, layer, self.widths[part]) for layer in self.layers(part))
        if not items:
            raise PlanError(
                f"{self.table.model.name} has no {part.group} layers whose {part.operand} could be "
                "quantized; there is nothing to choose"
            )
        name = f"mean {part.operand} bits of the {part.group} group"
        return Programme(items, (Budget(name, mean_bits, self.total(part)),))

    def _item(self, part: Part, layer: LayerSpec, widths: tuple[int, ...]) -> Item[int]:
        size = self.size(part.operand, layer)
        return Item(
            layer.name,
            tuple(Choice(bits, self.score(part, layer, bits), (bits * size,)) for bits in widths),
        )


def _check_widths(part: Part, widths: tuple[int, ...], sensitivity: SensitivityTable) -> None:
    measured = sensitivity.widths.get(part.operand, ())
    if not widths or list(widths) != sorted(set(widths)):
        raise PlanError(f"the widths of {part} are {widths or 'none'}; give at least one, ascending")
    if missing := [str(bits) for bits in widths if bits not in measured]:
        known = ", ".join(str(bits) for bits in measured) or "none"
        raise PlanError(
            f"the sensitivity table has no {part.operand} scores at {', '.join(missing)} bits, which {part} "
            f"may choose; it has {known}: measure the others, or choose among these"
        )
