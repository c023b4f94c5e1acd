"""The precision of one layer: bits of its weight and of its input."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from mixdq.configs.errors import PlanError

_INTEGER_WIDTHS = range(2, 9)
FLOAT_BITS = 16
"""The width that means: not quantized."""

_PATTERN = re.compile(r"W(\d+)A(\d+)")


@dataclass(frozen=True, slots=True)
class Precision:
    """Bits of a layer's weight and of its input activation; prints and parses as `W8A8`, `FP16` or `FP8`.

    Integer widths run from 2 to 8; 16 means the floating-point type of the back end (FP16, or FP32 on a
    CPU), which is to say: not quantized. `floating` marks the eight-bit floating-point format E4M3.

    Raises:
        PlanError: no such precision.
    """

    weight_bits: int
    activation_bits: int
    floating: bool = False

    def __post_init__(self) -> None:
        for operand, bits in (("weight", self.weight_bits), ("activation", self.activation_bits)):
            if bits not in _INTEGER_WIDTHS and bits != FLOAT_BITS:
                raise PlanError(f"{bits} is no {operand} width: use 2 to 8 bits, or 16 for floating point")
        if self.weight_bits == FLOAT_BITS and self.activation_bits != FLOAT_BITS:
            raise PlanError(
                f"W16A{self.activation_bits} is no precision: a quantized activation needs a quantized "
                "weight; use FP16, or give the weight at most 8 bits"
            )
        if self.floating and (self.weight_bits, self.activation_bits) != (8, 8):
            raise PlanError("floating-point precision is FP8 (E4M3 weights and activations) or FP16")

    @property
    def quantizes_weight(self) -> bool:
        """Whether the weight is stored as integers or FP8."""
        return self.weight_bits != FLOAT_BITS

    @property
    def quantizes_activation(self) -> bool:
        """Whether the layer's input is quantized."""
        return self.activation_bits != FLOAT_BITS

    def __str__(self) -> str:
        if self.floating:
            return "FP8"
        if not self.quantizes_weight:
            return "FP16"
        return f"W{self.weight_bits}A{self.activation_bits}"

    @classmethod
    def parse(cls, text: str) -> Precision:
        """Reads `W8A8`, `W4A16`, `FP16` or `FP8`.

        Raises:
            PlanError: the text names no precision.
        """
        if text in _NAMED:
            return _NAMED[text]
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise PlanError(f"{text!r} is no precision: write W8A8, W4A16, FP16 or FP8")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validate, serialization=core_schema.to_string_ser_schema()
        )


FP16 = Precision(16, 16)
"""Not quantized: FP16, or FP32 where the back end computes so."""

FP8 = Precision(8, 8, floating=True)
"""E4M3 weights and activations."""

_NAMED = {"FP16": FP16, "FP8": FP8}


def _validate(value: object) -> Precision:
    if isinstance(value, Precision):
        return value
    try:
        return Precision.parse(str(value))
    except PlanError as error:
        raise ValueError(str(error)) from error
