"""The definition against a second one in exact rational arithmetic, which shares no code with it."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from mixdq.configs.quantizer import (
    Grid,
    activation_quantizer,
    dequantize,
    dequantize_weight,
    quantize,
    quantize_weight,
    weight_scales,
)
from mixdq.configs.ranges import Range

WIDTHS = (2, 3, 4, 5, 6, 7, 8)
_FORMATS = {"float16": (11, -24), "float32": (24, -149), "float64": (53, -1074)}
"""Digits of the significand, and the exponent of the least positive number."""


def _rounded(value: Fraction, form: str) -> Fraction:
    """The nearest number of a binary floating-point format, half to even (overflow is not modelled)."""
    if value == 0:
        return value
    digits, least = _FORMATS[form]
    # The difference of the bit lengths is the exponent of the value or one more.
    exponent = max(least, abs(value.numerator).bit_length() - value.denominator.bit_length() - digits)
    if abs(value) >= Fraction(2) ** (exponent + digits):
        exponent += 1
    step = Fraction(2) ** exponent
    return round(value / step) * step  # Python rounds fractions half to even


def _integers(
    values: list[Fraction], scale: Fraction, zero_point: int, lowest: int, highest: int
) -> list[int]:
    quotients = [_rounded(value / scale, "float32") for value in values]
    return [min(max(round(quotient) + zero_point, lowest), highest) for quotient in quotients]


def _fractions(values: npt.ArrayLike) -> list[Fraction]:
    return [Fraction(float(value)) for value in np.asarray(values).ravel()]


def _grid(bits: int) -> tuple[int, int]:
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def _one(scale: float) -> np.float32:
    return np.float32(scale)


def test_grids_are_what_twos_complement_holds() -> None:
    assert [(Grid.signed(bits).minimum, Grid.signed(bits).maximum) for bits in (2, 4, 8)] == [
        (-2, 1),
        (-8, 7),
        (-128, 127),
    ]
    assert [(Grid.unsigned(bits).minimum, Grid.unsigned(bits).maximum) for bits in (2, 4, 8)] == [
        (0, 3),
        (0, 15),
        (0, 255),
    ]


def test_ties_go_to_the_even_integer() -> None:
    values = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5], dtype=np.float32)
    assert quantize(values, _one(1), 0, Grid.signed(8)).tolist() == [-2, -2, 0, 0, 2, 2, 4]
    # The zero point comes after the rounding: an odd one must not turn the ties over.
    assert quantize(values, _one(1), 3, Grid.unsigned(8)).tolist() == [1, 1, 3, 3, 5, 5, 7]


@pytest.mark.parametrize("bits", WIDTHS)
def test_values_beyond_the_grid_saturate(bits: int) -> None:
    values = np.array([-3e38, -1000, 1000, 3e38, np.inf, -np.inf], dtype=np.float32)
    low, high = _grid(bits)
    assert quantize(values, _one(1), 0, Grid.signed(bits)).tolist() == [low, low, high, high, high, low]
    top = 2**bits - 1
    assert quantize(values, _one(1), 1, Grid.unsigned(bits)).tolist() == [0, 0, top, top, top, 0]


def test_integers_have_eight_bits_in_memory() -> None:
    values = np.zeros((2, 3), dtype=np.float32)
    assert quantize(values, _one(1), 0, Grid.signed(2)).dtype == np.int8
    assert quantize(values, _one(1), 9, Grid.unsigned(8)).dtype == np.uint8
    assert quantize(values, _one(1), 9, Grid.unsigned(8)).shape == (2, 3)


def test_dequantizing_takes_the_zero_point_off_without_wrapping() -> None:
    integers = np.array([0, 200, 255], dtype=np.uint8)
    assert dequantize(integers, _one(0.5), 200).tolist() == [-100, 0, 27.5]
    assert dequantize(np.array([-128], dtype=np.int8), _one(2), 0).tolist() == [-256]


@pytest.mark.parametrize("scale_type", ["float16", "float32"])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(
    "values", [Range(-1.3, 2.7), Range(0.5, 2), Range(-4, -0.25), Range(0, 0), Range(-0.001, 6)]
)
def test_zero_is_exactly_representable(values: Range, symmetric: bool, scale_type: str) -> None:
    for bits in WIDTHS:
        found = activation_quantizer(values, bits, symmetric=symmetric, scale_type=scale_type)
        zero = quantize(np.zeros(1, dtype=np.float32), found.scale, found.zero_point, found.grid)
        assert zero.tolist() == [found.zero_point]
        assert dequantize(zero, found.scale, found.zero_point).tolist() == [0]


def test_an_asymmetric_quantizer_by_hand() -> None:
    found = activation_quantizer(Range(-1, 4.1), 8, symmetric=False, scale_type="float32")
    assert found.scale == pytest.approx(0.02, rel=1e-6)  # 5.1 / 255
    assert found.zero_point == 50  # 1 / 0.02
    assert (found.grid.minimum, found.grid.maximum, found.grid.dtype) == (0, 255, np.uint8)


def test_a_symmetric_quantizer_by_hand() -> None:
    found = activation_quantizer(Range(-12.7, 3), 8, symmetric=True, scale_type="float32")
    assert found.scale == pytest.approx(0.1, rel=1e-6)  # 12.7 / 127
    assert found.zero_point == 0
    assert (found.grid.minimum, found.grid.maximum, found.grid.dtype) == (-128, 127, np.int8)


def test_a_range_on_one_side_of_zero_is_widened_to_it() -> None:
    above = activation_quantizer(Range(2, 5.1), 8, symmetric=False, scale_type="float32")
    below = activation_quantizer(Range(-5.1, -2), 8, symmetric=False, scale_type="float32")
    assert above.scale == below.scale == pytest.approx(0.02, rel=1e-6)
    assert (above.zero_point, below.zero_point) == (0, 255)


def test_a_tensor_that_is_always_zero_has_scale_one() -> None:
    for symmetric in (True, False):
        found = activation_quantizer(Range(0, 0), 8, symmetric=symmetric, scale_type="float16")
        assert (float(found.scale), found.zero_point) == (1, 0)


@pytest.mark.parametrize("scale_type", ["float16", "float32"])
@pytest.mark.parametrize("bits", WIDTHS)
def test_activation_quantizers_are_those_of_exact_arithmetic(bits: int, scale_type: str) -> None:
    draw = random.Random(bits)
    for _ in range(50):
        low, high = sorted((draw.uniform(-9, 9), draw.uniform(-9, 9)))
        found = activation_quantizer(Range(low, high), bits, symmetric=False, scale_type=scale_type)
        bottom, top = min(Fraction(low), Fraction(0)), max(Fraction(high), Fraction(0))
        steps = _rounded(_rounded(top - bottom, "float64") / (2**bits - 1), "float64")
        assert Fraction(float(found.scale)) == _rounded(steps, scale_type)
        zero_point = _integers(
            [_rounded(-bottom, "float32")], Fraction(float(found.scale)), 0, 0, 2**bits - 1
        )
        assert [found.zero_point] == zero_point

        found = activation_quantizer(Range(low, high), bits, symmetric=True, scale_type=scale_type)
        steps = _rounded(max(-bottom, top) / (2 ** (bits - 1) - 1), "float64")
        assert (Fraction(float(found.scale)), found.zero_point) == (_rounded(steps, scale_type), 0)


@pytest.mark.parametrize("scale_type", ["float16", "float32"])
@pytest.mark.parametrize("bits", WIDTHS)
def test_weights_become_the_integers_of_exact_arithmetic(bits: int, scale_type: str) -> None:
    random_weight = np.random.default_rng(bits).normal(size=(12, 5, 3)).astype(np.float32)
    weight = random_weight * np.float32(10) ** np.arange(-8, 4, dtype=np.float32)[:, None, None]
    scales = weight_scales(weight, bits, axis=0, scale_type=scale_type)
    integers = quantize_weight(weight, scales, bits, axis=0)
    real = dequantize_weight(integers, scales, axis=0)
    low, high = _grid(bits)
    for channel in range(12):
        values = _fractions(weight[channel])
        raw = _rounded(max(abs(value) for value in values) / high, "float32")
        scale = max(_rounded(raw, scale_type), Fraction(2) ** _FORMATS[scale_type][1])
        assert Fraction(float(scales[channel])) == scale
        expected = _integers(values, scale, 0, low, high)
        assert integers[channel].ravel().tolist() == expected
        products = [_rounded(integer * scale, "float32") for integer in expected]
        assert _fractions(real[channel]) == products


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_largest_weight_of_a_channel_takes_the_grids_last_step(bits: int) -> None:
    weight = np.array([[-3.0, 1.0], [0.25, 8.0]], dtype=np.float32)
    scales = weight_scales(weight, bits, axis=0, scale_type="float32")
    integers = quantize_weight(weight, scales, bits, axis=0)
    high = 2 ** (bits - 1) - 1
    assert integers[0, 0] == -high
    assert integers[1, 1] == high
    np.testing.assert_allclose(
        dequantize_weight(integers, scales, axis=0)[[0, 1], [0, 1]], [-3, 8], rtol=1e-6
    )


def test_a_four_bit_weight_by_hand() -> None:
    weight = np.array([[7.0, -7.0, 3.4, 3.6, 0.5, -1.5]], dtype=np.float32)
    scales = weight_scales(weight, 4, axis=0, scale_type="float32")
    assert scales.tolist() == [1]
    assert quantize_weight(weight, scales, 4, axis=0).tolist() == [[7, -7, 3, 4, 0, -2]]


def test_a_channel_that_is_all_zero_has_scale_one_and_stays_zero() -> None:
    weight = np.array([[0.0, 0.0], [1.27, 0.0]], dtype=np.float32)
    scales = weight_scales(weight, 8, axis=0, scale_type="float32")
    assert scales[0] == 1
    integers = quantize_weight(weight, scales, 8, axis=0)
    assert integers.tolist() == [[0, 0], [127, 0]]


def test_fp16_scales_are_rounded_before_anything_is_divided_by_them() -> None:
    # FP16 has steps of 2^-10 above 1: 1 + 2^-12 becomes 1, and 127.03 becomes 127 and not 127.03 / 1.00024.
    weight = np.array([[127 * (1 + 2**-12), 64.51]], dtype=np.float32)
    half = weight_scales(weight, 8, axis=0, scale_type="float16")
    single = weight_scales(weight, 8, axis=0, scale_type="float32")
    assert half.tolist() == [1]
    assert single.tolist() == [1 + 2**-12]
    assert quantize_weight(weight, half, 8, axis=0).tolist() == [[127, 65]]
    assert quantize_weight(weight, single, 8, axis=0).tolist() == [[127, 64]]


def test_a_scale_below_fp16_is_its_least_number_and_never_zero() -> None:
    weight = np.array([[1e-7, -3e-8], [1e-9, 0]], dtype=np.float32)
    scales = weight_scales(weight, 8, axis=0, scale_type="float16")
    assert scales.tolist() == [2**-24, 2**-24]
    # 1e-7 / 2^-24 = 1.68, -3e-8 / 2^-24 = -0.50...
    assert quantize_weight(weight, scales, 8, axis=0).tolist() == [[2, -1], [0, 0]]
    activation = activation_quantizer(Range(0, 1e-9), 8, symmetric=False, scale_type="float16")
    assert activation.scale == np.float32(2**-24)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_scales_belong_to_the_axis_named(axis: int) -> None:
    weight = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    scales = weight_scales(weight, 8, axis=axis, scale_type="float32")
    moved = np.moveaxis(weight, axis, 0)
    assert scales.tolist() == [float(np.abs(channel).max() / np.float32(127)) for channel in moved]
    integers = quantize_weight(weight, scales, 8, axis=axis)
    flat = np.moveaxis(integers, axis, 0).reshape(len(scales), -1)
    assert np.abs(flat.astype(int)).max(axis=1).tolist() == [127] * len(scales)
    error = np.abs(np.moveaxis(dequantize_weight(integers, scales, axis=axis) - weight, axis, 0))
    assert (error.reshape(len(scales), -1).max(axis=1) <= scales * 0.5001).all()


def test_fp16_weights_are_divided_in_fp32() -> None:
    # In FP16 the quotient 2.50097 would be 2.5 and round to 2; both factors are FP16 numbers.
    value, scale = np.float16(2.505859375), np.float32(1.001953125)
    quotient = Fraction(float(value)) / Fraction(float(scale))
    assert quotient > Fraction(5, 2)
    assert np.float16(float(quotient)) == np.float16(2.5)
    assert quantize(np.array([value]), scale, 0, Grid.signed(8)).tolist() == [3]
