"""What each layer of a plan is to the CUDA back end: how its weight is stored, and its input quantized."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from mixdq.configs.errors import PlanError
from mixdq.configs.form import ActivationFormat, Form, Granularity, WeightFormat
from mixdq.configs.form_quantizer import FormQuantizer
from mixdq.configs.layers import LayerName, LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.quantizer import ActivationQuantizer
from mixdq.configs.ranges import RangeTable
from mixdq.configs.realized import RealizedLayer
from mixdq.configs.target import Dialect
from mixdq.export.simulate import weight_numbers

NUMBERS = Dialect.ORT
"""Whose integers these are: zero points, and FP32 scales. ONNX Runtime's UINT8 is 128 more than INT8 here."""

_SHIFT = 128
_PACKED_SCALES = "float16"  # of four-bit blocks, where they are a sixteenth of the weight


@dataclass(frozen=True, slots=True)
class InputGrid:
    """A static quantizer of an input: q = clamp(round(x / scale) + zero, -128, 127)."""

    scale: float
    zero: int

    @classmethod
    def of(cls, quantizer: ActivationQuantizer) -> Self:
        """The same grid in INT8, whatever it was given in."""
        shift = 0 if quantizer.grid.minimum < 0 else _SHIFT
        return cls(float(quantizer.scale), quantizer.zero_point - shift)


@dataclass(frozen=True, slots=True)
class LayerForm:
    """How one layer runs.

    Attributes:
        form: storage of the weight and the input's type.
        inputs: the grids of its input, one, or one a half of a split shortcut; none of a floating-point one.
        bos: whether token 0 of its input is left out, and a constant row takes its output's place.
    """

    form: Form
    inputs: tuple[InputGrid, ...]
    bos: bool

    @property
    def grid(self) -> InputGrid | None:
        """The grid of a whole input; None in floating point."""
        return self.inputs[0] if self.inputs else None


Weights = Callable[[str], Tensor]
"""A tensor of the UNet by its name (`conv_in.weight`), on the device where the module is to be, in FP16 or
more."""


class PlannedLayers:
    """The layers of a model under a plan, and what is stored of their weights."""

    def __init__(
        self, table: LayerTable, plan: PrecisionPlan, ranges: RangeTable | None, weights: Weights
    ) -> None:
        """Keeps them; reads nothing.

        Args:
            table: the layers.
            plan: checked against them.
            ranges: None only if the plan quantizes no activation and takes no token out.
            weights: reads a tensor.

        Raises:
            ModelError: the plan is BOS-aware and the model's BOS row is not constant.
        """
        self._table, self._plan, self._ranges, self.weights = table, plan, ranges, weights
        aware = any(plan.takes_bos_out(layer) for layer in table)
        self._bos = ranges.constant_bos() if aware and ranges is not None else ()

    def spec(self, name: str) -> LayerSpec:
        """A layer by its module's path."""
        return self._table[LayerName(name)]

    def form(self, name: str) -> LayerForm:
        """How a layer runs."""
        layer = self.spec(name)
        realized = RealizedLayer.of(self._plan, layer, NUMBERS)
        if realized.form.activation not in (
            ActivationFormat.FLOAT,
            ActivationFormat.INT8,
            ActivationFormat.UINT8,
        ):
            raise PlanError(f"{name}: the CUDA back end has no kernel for {realized.form}; legalize the plan")
        quantized = realized.form.activation is not ActivationFormat.FLOAT
        grids: tuple[InputGrid, ...] = ()
        if quantized:
            assert self._ranges is not None, "a plan that quantizes activations comes with ranges"
            found = realized.activations(self._ranges.input_ranges(layer, self._plan))
            grids = tuple(InputGrid.of(one) for one in found)
        return LayerForm(realized.form, grids, self._plan.takes_bos_out(layer))

    def splits(self, name: str) -> int | None:
        """Channels of the first half of a shortcut's input that is quantized in two; None for one."""
        layer = self.spec(name)
        return layer.split if self._plan.splits(layer) else None

    def integers(self, name: str, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The stored numbers of a weight or of a half of one.

        Args:
            name: the layer's.
            weight: `[N, K, ...]`.

        Returns:
            INT8 numbers of the weight's shape, and FP32 scales `[N]`, or `[N, K / block]` of blocks.
        """
        realized = RealizedLayer.of(self._plan, self.spec(name), NUMBERS)
        scale_type = _PACKED_SCALES if realized.form.weight is WeightFormat.INT4 else realized.scale_type
        bits = realized.precision.weight_bits
        quantizer = FormQuantizer.of(realized.form, bits, scale_type, realized.clipping)
        numbers, scales = weight_numbers(weight, quantizer)
        if quantizer.granularity is Granularity.CHANNEL:
            return numbers.to(torch.int8), scales.reshape(-1).contiguous()
        block = quantizer.block_of(weight.shape[1])
        if block is None:
            raise PlanError(f"{name}: the CUDA back end has no kernel for {realized.form}; legalize the plan")
        return numbers.to(torch.int8), scales[:, ::block].contiguous()

    def bos_row(self, name: str) -> Tensor:
        """What a layer makes of token 0, `[N]`, computed in FP64 with the weight that is not quantized."""
        weight = self.weights(f"{name}.weight")
        bos = torch.tensor(self._bos, dtype=torch.float64, device=weight.device)
        return weight.double() @ bos
