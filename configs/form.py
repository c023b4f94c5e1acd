"""How a layer runs: what its weight is stored as, with how many scales, and what its input is turned into.

A `Precision` is a wish, bits of weight and of activation. A `Form` is what answers it: INT8 held one a byte,
INT4 packed two a byte with a scale per channel or per block, FP8, or nothing quantized at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from mixdq.configs.errors import PlanError
from mixdq.configs.layers import LayerSpec
from mixdq.configs.precision import FLOAT_BITS, FP8, FP16, Precision


class WeightFormat(StrEnum):
    """What a weight is stored as; integers are signed, those of less than a byte packed, FP8 is E4M3."""

    FLOAT = "float"
    INT8 = "int8"
    INT4 = "int4"
    INT2 = "int2"
    FP8 = "fp8"

    @property
    def bits(self) -> int:
        """Of one weight; 16 for floating point, as in `Precision`."""
        return _WEIGHT_BITS[self]


_WEIGHT_BITS = {
    WeightFormat.FLOAT: FLOAT_BITS,
    WeightFormat.INT8: 8,
    WeightFormat.INT4: 4,
    WeightFormat.INT2: 2,
    WeightFormat.FP8: 8,
}


class ActivationFormat(StrEnum):
    """What a layer's input is turned into, with one scale: INT8 about zero, UINT8 with a zero point, FP8."""

    FLOAT = "float"
    INT8 = "int8"
    UINT8 = "uint8"
    FP8 = "fp8"

    @property
    def bits(self) -> int:
        """Of one value; 16 for floating point, as in `Precision`."""
        return FLOAT_BITS if self is ActivationFormat.FLOAT else 8


class Granularity(StrEnum):
    """What shares a scale of the weight: all of it, an output channel, or so many inputs of a channel."""

    NONE = ""
    TENSOR = "tensor"
    CHANNEL = "channel"
    BLOCK_128 = "block128"
    BLOCK_64 = "block64"
    BLOCK_32 = "block32"

    @property
    def block(self) -> int | None:
        """Inputs that share a scale; None if it is not by blocks."""
        return int(self.removeprefix("block")) if self.startswith("block") else None

    @property
    def fineness(self) -> int:
        """Greater is finer."""
        return list(Granularity).index(self)


@dataclass(frozen=True, slots=True)
class Form:
    """One way to run a layer; prints and parses as `int4:block128/float`, `int8:channel/int8`, `float/float`.

    Attributes:
        weight: what the weight is stored as.
        granularity: of the weight's scales; NONE for a weight in floating point.
        activation: what the layer's input is turned into.

    Raises:
        PlanError: no such form: scales without a quantized weight, or one without; an activation that is
            quantized alone; FP8 beside anything else.
    """

    weight: WeightFormat
    granularity: Granularity
    activation: ActivationFormat

    def __post_init__(self) -> None:
        if (self.weight is WeightFormat.FLOAT) != (self.granularity is Granularity.NONE):
            raise PlanError(f"{self} is no form: a quantized weight has scales, and no other one does")
        if self.weight is WeightFormat.FLOAT and self.activation is not ActivationFormat.FLOAT:
            raise PlanError(f"{self} is no form: a quantized activation needs a quantized weight")
        if (self.weight is WeightFormat.FP8) != (self.activation is ActivationFormat.FP8):
            raise PlanError(f"{self} is no form: FP8 is of weight and activation, or of neither")

    @property
    def precision(self) -> Precision:
        """The bits that run: those of the storage."""
        if self.weight is WeightFormat.FP8:
            return FP8
        if self.weight is WeightFormat.FLOAT:
            return FP16
        return Precision(self.weight.bits, self.activation.bits)

    @property
    def multiplied_bits(self) -> int:
        """Of both operands as they are multiplied: the weight is widened to the activation, 16 if float.

        So a weight-only form saves memory, but no work.
        """
        return max(self.weight.bits, self.activation.bits)

    def fits(self, layer: LayerSpec) -> bool:
        """Whether blocks divide the layer's inputs and packed weights fill whole bytes.

        Of a split shortcut those of both halves. Builders take blocks that don't divide them, with a scale
        too few; an odd number of INT4 weights TensorRT refuses.
        """
        block, inputs = self.granularity.block or 1, layer.weight_shape[1]
        parts = (inputs,) if layer.split is None else (layer.split, inputs - layer.split)
        bits = layer.weights // inputs * self.weight.bits
        return all(part % block == 0 and part * bits % 8 == 0 for part in parts)

    def bytes(self, layer: LayerSpec, *, float_bytes: int, parts: int = 1) -> int:
        """Stored bytes of a layer's weight and of the weight's scales.

        Biases, the few bytes of an activation's scale and a computed row of token 0 are left out.

        Args:
            layer: the layer.
            float_bytes: of the target's floating-point type, which is that of the scales too.
            parts: 2 for a shortcut that is split, whose halves have scales of their own.
        """
        if self.weight is WeightFormat.FLOAT:
            return layer.weights * float_bytes
        return -(-layer.weights * self.weight.bits // 8) + self._scales(layer, parts) * float_bytes

    def _scales(self, layer: LayerSpec, parts: int) -> int:
        outputs, inputs, *kernel = layer.weight_shape
        if self.granularity is Granularity.TENSOR:
            return parts
        if self.granularity.block is None:
            return outputs * parts
        return outputs * math.prod(kernel) * -(-inputs // self.granularity.block)

    def __str__(self) -> str:
        scales = f":{self.granularity}" if self.granularity else ""
        return f"{self.weight}{scales}/{self.activation}"

    @classmethod
    def parse(cls, text: str) -> Form:
        """Reads `int4:block128/float`.

        Raises:
            PlanError: the text names no form.
        """
        stored, _, activation = text.partition("/")
        weight, _, granularity = stored.partition(":")
        try:
            parts = WeightFormat(weight), Granularity(granularity), ActivationFormat(activation)
        except ValueError as error:
            raise PlanError(
                f"{text!r} is no form of a layer: write WEIGHT:SCALES/ACTIVATION, as in int8:channel/int8, "
                "int4:block128/float or float/float"
            ) from error
        return cls(*parts)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validate, serialization=core_schema.to_string_ser_schema()
        )


def _validate(value: object) -> Form:
    if isinstance(value, Form):
        return value
    try:
        return Form.parse(str(value))
    except PlanError as error:
        raise ValueError(str(error)) from error
