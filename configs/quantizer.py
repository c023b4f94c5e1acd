"""The quantizer, defined once, in NumPy: what every realization is tested against.

An integer q stands for the real number (q - zero point) * scale. Quantizing divides by the scale in FP32,
rounds half to even, adds the zero point and saturates (ONNX QuantizeLinear; paper, section 4.1). Scales
are rounded to the type in which the back end stores them before anything is divided by them. FP8 differs in
the numbers alone: those of E4M3 instead of integers. How a weight's scales are shared is said in
`mixdq.configs.form_quantizer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mixdq.configs.ranges import Range
from mixdq.configs.target import Dialect

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]

_E4M3_MAXIMUM = 448
_E4M3_LEAST_EXPONENT = -6
_E4M3_FRACTION_BITS = 3


@dataclass(frozen=True, slots=True)
class Grid:
    """The numbers that a quantized value may take: integers, or those of E4M3.

    Attributes:
        minimum: the least.
        maximum: the greatest.
        dtype: the NumPy type that stores them; of E4M3, for which NumPy has none, that of its bytes.
        floating: whether these are the numbers of E4M3.
    """

    minimum: int
    maximum: int
    dtype: type[np.int8] | type[np.uint8]
    floating: bool = False

    @classmethod
    def e4m3(cls) -> Grid:
        """FP8: a sign, 4 bits of exponent, 3 of fraction; 448 at most, no infinities."""
        return cls(-_E4M3_MAXIMUM, _E4M3_MAXIMUM, np.uint8, floating=True)

    @classmethod
    def signed(cls, bits: int) -> Grid:
        """-2^(b-1) to 2^(b-1) - 1, in INT8: weights, and symmetric activations."""
        return cls(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, np.int8)

    @classmethod
    def unsigned(cls, bits: int) -> Grid:
        """0 to 2^b - 1, in UINT8: asymmetric activations."""
        return cls(0, 2**bits - 1, np.uint8)


@dataclass(frozen=True, slots=True)
class ActivationQuantizer:
    """A static per-tensor quantizer: one scale, one zero point."""

    scale: np.float32
    zero_point: int
    grid: Grid


def fp8_quantizer(values: Range, *, scale_type: npt.DTypeLike) -> ActivationQuantizer:
    """The min-max quantizer of a range in E4M3: scale = max(|min|, |max|) / 448, zero point 0."""
    largest = max(-values.minimum, values.maximum, 0.0)
    return ActivationQuantizer(_scale(largest / _E4M3_MAXIMUM, scale_type), 0, Grid.e4m3())


def activation_quantizer(
    values: Range, bits: int, *, symmetric: bool, scale_type: npt.DTypeLike
) -> ActivationQuantizer:
    """The min-max quantizer of a range, zero always exactly representable.

    Asymmetric: scale = (max - min) / (2^b - 1), zero point = round(-min / scale).
    Symmetric: scale = max(|min|, |max|) / (2^(b-1) - 1), zero point 0.

    Args:
        values: the calibrated range; widened to include zero.
        bits: 2 to 8.
        symmetric: whether the zero point must be 0, as TensorRT requires.
        scale_type: the type that stores the scale (float16 or float32).
    """
    low, high = min(values.minimum, 0.0), max(values.maximum, 0.0)
    if symmetric:
        grid = Grid.signed(bits)
        return ActivationQuantizer(_scale(max(-low, high) / grid.maximum, scale_type), 0, grid)
    grid = Grid.unsigned(bits)
    scale = _scale((high - low) / grid.maximum, scale_type)
    zero_point = int(np.clip(np.rint(np.float32(-low) / scale), grid.minimum, grid.maximum))
    return ActivationQuantizer(scale, zero_point, grid)


def activation_quantizers(
    ranges: Sequence[Range], bits: int, dialect: Dialect
) -> tuple[ActivationQuantizer, ...]:
    """One quantizer a range, as a dialect's graphs hold them."""
    return tuple(
        activation_quantizer(one, bits, symmetric=dialect.symmetric, scale_type=dialect.float_type)
        for one in ranges
    )


def weight_scales(weight: FloatArray, bits: int, *, axis: int, scale_type: npt.DTypeLike) -> FloatArray:
    """Symmetric per-channel scales: absmax / (2^(b-1) - 1) of each output channel.

    Args:
        weight: any shape.
        bits: 2 to 8.
        axis: the output channel's axis.
        scale_type: the type that stores the scales.

    Returns:
        One FP32 value a channel, each representable in `scale_type`; 1 where a channel is all zero.
    """
    others = tuple(a for a in range(weight.ndim) if a != axis % weight.ndim)
    return scales_for(np.abs(weight).max(axis=others), Grid.signed(bits), scale_type)


def scales_for(largest: FloatArray, grid: Grid, scale_type: npt.DTypeLike) -> FloatArray:
    """The scales at which the largest magnitudes become a grid's greatest number; 1 for a magnitude of 0.

    Divided in FP32, then rounded to `scale_type`, and never to 0.
    """
    raw = np.asarray(largest).astype(np.float32) / np.float32(grid.maximum)
    rounded = raw.astype(scale_type)
    smallest = np.finfo(rounded.dtype).smallest_subnormal
    scales: FloatArray = np.where(raw == 0, 1, np.maximum(rounded, smallest)).astype(np.float32)
    return scales


def quantize_weight(weight: FloatArray, scales: FloatArray, bits: int, *, axis: int) -> IntArray:
    """A weight's integers, in INT8 whatever their width."""
    return quantize(weight, _along(scales, weight.ndim, axis), 0, Grid.signed(bits))


def dequantize_weight(integers: IntArray, scales: FloatArray, *, axis: int) -> npt.NDArray[np.float32]:
    """The FP32 weight that the integers stand for."""
    return dequantize(integers, _along(scales, integers.ndim, axis), 0)


def quantize(values: FloatArray, scale: FloatArray | np.float32, zero_point: int, grid: Grid) -> IntArray:
    """Real numbers to integers: divide in FP32, round half to even, add the zero point, saturate."""
    rounded = np.rint(values.astype(np.float32) / scale)
    integers: IntArray = np.clip(rounded + zero_point, grid.minimum, grid.maximum).astype(grid.dtype)
    return integers


def dequantize(
    integers: IntArray, scale: FloatArray | np.float32, zero_point: int
) -> npt.NDArray[np.float32]:
    """Integers to the FP32 numbers that they stand for."""
    return (integers.astype(np.int32) - zero_point).astype(np.float32) * scale.astype(np.float32)


def quantize_e4m3(values: FloatArray, scale: FloatArray | np.float32) -> npt.NDArray[np.float32]:
    """Real numbers to those of E4M3, as FP32: divide in FP32, round half to even, saturate."""
    largest = np.float32(_E4M3_MAXIMUM)
    clipped = np.clip(values.astype(np.float32) / scale, -largest, largest)
    _, exponents = np.frexp(clipped)  # magnitudes in [2^(e-1), 2^e)
    # Below the least exponent the numbers keep its distance: subnormal numbers.
    fixed = np.maximum(exponents - 1, _E4M3_LEAST_EXPONENT) - _E4M3_FRACTION_BITS
    step = np.ldexp(np.float32(1), fixed)
    rounded: npt.NDArray[np.float32] = np.rint(clipped / step) * step
    return rounded


def _scale(value: float, scale_type: npt.DTypeLike) -> np.float32:
    if value == 0:
        return np.float32(1)
    rounded = np.asarray(value, dtype=scale_type)
    smallest = np.finfo(rounded.dtype).smallest_subnormal
    return np.float32(max(rounded, smallest))


def _along(scales: FloatArray, ndim: int, axis: int) -> FloatArray:
    shape = [1] * ndim
    shape[axis] = -1
    return scales.reshape(shape)
