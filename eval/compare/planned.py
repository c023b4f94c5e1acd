"""A plan with all that its integers depend on beside the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from mixdq.configs.layers import LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.quantizer import ActivationQuantizer
from mixdq.configs.ranges import RangeTable
from mixdq.configs.realized import RealizedLayer
from mixdq.configs.target import Dialect

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """What a graph of one dialect must hold.

    Attributes:
        table: the model's layers.
        plan: one precision a layer.
        ranges: calibrated ranges; None if the plan quantizes nothing.
        dialect: symmetric or asymmetric activations, and the type that stores scales.
    """

    table: LayerTable
    plan: PrecisionPlan
    ranges: RangeTable | None
    dialect: Dialect

    def quantizers(self, layer: LayerSpec) -> tuple[ActivationQuantizer | None, ...]:
        """The quantizer of each part of a layer's input, two for a split shortcut; None where it has none."""
        precision = self.plan[layer.name]
        if self.ranges is None or not precision.quantizes_activation:
            return (None, None) if self.plan.splits(layer) else (None,)
        return self.realized(layer).activations(self.ranges.input_ranges(layer, self.plan))

    def realized(self, layer: LayerSpec) -> RealizedLayer:
        """How a layer is written."""
        return RealizedLayer.of(self.plan, layer, self.dialect)
