"""Plans of mean bits for a model with a shipped search: shipped themselves, or solved from its table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixdq.compiler.layers_of import smallest_resolution
from mixdq.compiler.recipe import Uniform
from mixdq.configs.layer_sizes import input_elements
from mixdq.configs.layers import LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FLOAT_BITS, Precision
from mixdq.configs.sensitivity import PAPER_METRICS, Objective, Operand, SensitivityTable
from mixdq.configs.shipped_search import plan_name, shipped_layers, shipped_plan, shipped_sensitivity
from mixdq.configs.target import Target

if TYPE_CHECKING:
    from mixdq.compiler.allocate.subject import Part, Subject, Widths

LARGEST_WIDTH = 8


@dataclass(frozen=True, slots=True)
class ChosenPlan:
    """A plan, and in words which one and why: `uniform W5A8: no search ships for sdxl-turbo`."""

    plan: Uniform | PrecisionPlan
    words: str


@dataclass(frozen=True, slots=True)
class ShippedSearch:
    """The search of one model, with these weights, this VAE and this scheduler.

    Attributes:
        table: the model's layers.
        sensitivity: theirs.
    """

    table: LayerTable
    sensitivity: SensitivityTable

    @classmethod
    def of(cls, model: ModelIdentity) -> ShippedSearch | None:
        """The search that ships for a model; None if there is none, or it is another model's.

        Raises:
            PlanError, ModelError: a shipped file is damaged.
        """
        scores, layers = shipped_sensitivity(model.name), shipped_layers(model.name)
        if scores is None or layers is None:
            return None
        sensitivity = SensitivityTable.read(scores)
        if sensitivity.model is None or sensitivity.model.digest != model.digest:
            return None
        return cls(LayerTable.read(layers), sensitivity)

    def plan(self, weight_bits: float, activation_bits: float, targets: Sequence[Target]) -> ChosenPlan:
        """The shipped plan of exactly these means, or else the optimum of four programmes.

        They are the paper's but for two things: they add up lost noise, and quality layers may have 2
        bits too.

        Args:
            weight_bits: mean over all layers, by their weights: 2 to 8.
            activation_bits: mean over the layers that are not protected, by the values that they read; 16
                quantizes none.
            targets: layers get only bits that all of them hold. A mean below these is solved all the same,
                so that `Target.check` names the layers.

        Raises:
            PlanError: a mean that no choice of bits keeps; the nearest one is named.
            DigestError: a shipped plan of another model.
        """
        path = shipped_plan(self.table.model.name, weight_bits, activation_bits)
        if path is not None:
            return self._read(path)
        plan = self._solved(weight_bits, activation_bits, targets)
        name = plan_name(weight_bits, activation_bits)
        return ChosenPlan(plan, f"{name} by the shipped sensitivities, {self._means(plan)}")

    def _read(self, path: Path) -> ChosenPlan:
        plan = PrecisionPlan.read(path)
        plan.check(self.table)
        return ChosenPlan(plan, f"shipped {path.stem}, {self._means(plan)}")

    def _solved(self, weight_bits: float, activation_bits: float, targets: Sequence[Target]) -> PrecisionPlan:
        from mixdq.compiler.allocate.allocation import allocate
        from mixdq.compiler.allocate.protection import PAPER_SHARE, protected_layers
        from mixdq.compiler.allocate.subject import ALL_WIDTHS, Subject

        self.sensitivity.check(self.table)
        protected = protected_layers(self.table, self.sensitivity, PAPER_SHARE, PAPER_METRICS)
        subject = Subject(
            self.table,
            self.sensitivity,
            PAPER_METRICS,
            _held(ALL_WIDTHS, activation_bits, targets),
            smallest_resolution(self.table),
            frozenset(protected),
            objective=Objective.NOISE,
        )
        budgets = equal_budgets(subject, Operand.WEIGHT, weight_bits)
        if activation_bits != FLOAT_BITS:
            budgets = {**budgets, **equal_budgets(subject, Operand.ACTIVATION, activation_bits)}
        allocation, _ = allocate(subject, budgets)
        return allocation.plan(bos_aware=True, split_shortcuts=True)

    def _means(self, plan: PrecisionPlan) -> str:
        quantized = [layer for layer in self.table if plan[layer.name].quantizes_activation]
        floating = f"{len(self.table) - len(quantized)} of {len(self.table)} activations in FP16"
        weight, _ = plan.mean_bits(self.table)
        resolution = smallest_resolution(self.table)
        sizes = {layer.name: input_elements(layer, resolution) for layer in quantized}
        bits = sum(size * plan[name].activation_bits for name, size in sizes.items())
        activation = bits / sum(sizes.values()) if sizes else FLOAT_BITS
        return f"means {weight:.2f}/{activation:.2f}, {floating}"


def why_no_search(model: ModelIdentity) -> str:
    """Why `ShippedSearch.of` gives none."""
    if shipped_sensitivity(model.name) is None or shipped_layers(model.name) is None:
        return f"no search ships for {model.name}"
    return (
        f"the search that ships for {model.name} is of other weights (a LoRA counts), another VAE or another "
        f"scheduler than these (model {model.digest[:12]})"
    )


def equal_budgets(subject: Subject, operand: Operand, mean: float) -> Mapping[Part, float]:
    """The same mean for both groups; what one of them needs above it for its smallest width the other gives.

    Raises:
        InfeasibleError: no choice of bits has so small a mean.
    """
    from mixdq.compiler.allocate.programme import InfeasibleError
    from mixdq.compiler.allocate.subject import parts_of

    sizes = {part: subject.total(part) for part in parts_of(operand) if subject.layers(part)}
    least = {part: subject.widths[part][0] for part in sizes}
    whole, needed = sum(sizes.values()), sum(least[part] * size for part, size in sizes.items())
    if needed > mean * whole:
        raise InfeasibleError(
            f"--{operand}-bits {mean:g} can't be kept: the smallest choice of every layer takes "
            f"{needed / whole:.4f}; the nearest that can be kept is {math.ceil(100 * needed / whole) / 100:g}"
        )
    short = {part for part in sizes if least[part] > mean}
    left = mean * whole - sum(least[part] * sizes[part] for part in short)
    room = sum(size for part, size in sizes.items() if part not in short)
    return {part: least[part] if part in short else max(left / room, least[part]) for part in sizes}


def _held(widths: Widths, activation_bits: float, targets: Sequence[Target]) -> Widths:
    """The widths that all targets hold; every width where no such activation is as small as was asked for."""

    def held(operand: Operand, bits: int) -> bool:
        of_weight = operand is Operand.WEIGHT
        precision = Precision(bits, FLOAT_BITS) if of_weight else Precision(LARGEST_WIDTH, bits)
        return all(target.holds(precision) for target in targets)

    kept = {
        part: tuple(bits for bits in choice if held(part.operand, bits)) for part, choice in widths.items()
    }
    return kept if all(choice and choice[0] <= activation_bits for choice in kept.values()) else widths
