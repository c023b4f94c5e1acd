"""How a layer of a plan is written: its form, and the quantizers that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from mixdq.configs.form import ActivationFormat, Form, Granularity, WeightFormat
from mixdq.configs.form_quantizer import FormQuantizer
from mixdq.configs.layers import LayerSpec
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import Precision
from mixdq.configs.quantizer import ActivationQuantizer, activation_quantizer, fp8_quantizer
from mixdq.configs.quantizing import Clipping
from mixdq.configs.ranges import Range
from mixdq.configs.target import Dialect

INT8_PER_CHANNEL = Form(WeightFormat.INT8, Granularity.CHANNEL, ActivationFormat.FLOAT)
"""What holds a weight of any width unless a plan was made legal for a target."""


@dataclass(frozen=True, slots=True)
class RealizedLayer:
    """One layer as the passes write it and the simulation computes it.

    Attributes:
        form: the plan's realization says it; a plan that was made legal for no target has weights of any
            width in INT8, a scale a channel, and activations in the dialect's eight bits.
        precision: the plan's, whose bits are those of the grids.
        scale_type: NumPy's name of the type that stores the scales.
        clipping: how the scales of the weight are found.
        centered: whether the input's INT8 is about its centre: quantized with a zero point, as UINT8, until
            `mixdq.passes.center_activations` makes INT8 of it.
    """

    form: Form
    precision: Precision
    scale_type: str
    clipping: Clipping
    centered: bool

    @classmethod
    def of(cls, plan: PrecisionPlan, layer: LayerSpec, dialect: Dialect) -> Self:
        """A layer of a plan in the graphs of a dialect."""
        precision, realization = plan[layer.name], plan.realization
        form = _usual(precision, dialect) if realization is None else realization.forms[layer.name]
        centered = form.activation is ActivationFormat.INT8 and plan.centers(layer)
        return cls(form, precision, dialect.float_type, plan.weight_clipping, centered)

    @property
    def weight(self) -> FormQuantizer:
        """The quantizer of the layer's weight, which is quantized."""
        return FormQuantizer.of(self.form, self.precision.weight_bits, self.scale_type, self.clipping)

    def activations(self, ranges: Sequence[Range]) -> tuple[ActivationQuantizer, ...]:
        """The quantizer of each part of the layer's input, which is quantized."""
        return tuple(self._activation(values) for values in ranges)

    def _activation(self, values: Range) -> ActivationQuantizer:
        if self.form.activation is ActivationFormat.FP8:
            return fp8_quantizer(values, scale_type=self.scale_type)
        symmetric = self.form.activation is ActivationFormat.INT8 and not self.centered
        bits = self.precision.activation_bits
        return activation_quantizer(values, bits, symmetric=symmetric, scale_type=self.scale_type)


def _usual(precision: Precision, dialect: Dialect) -> Form:
    if not precision.quantizes_weight:
        return Form(WeightFormat.FLOAT, Granularity.NONE, ActivationFormat.FLOAT)
    if precision.floating:
        return Form(WeightFormat.FP8, Granularity.TENSOR, ActivationFormat.FP8)
    activation = ActivationFormat.INT8 if dialect.symmetric else ActivationFormat.UINT8
    return Form(
        WeightFormat.INT8,
        Granularity.CHANNEL,
        activation if precision.quantizes_activation else ActivationFormat.FLOAT,
    )
