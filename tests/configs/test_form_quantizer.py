from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from mixdq.configs.errors import PlanError
from mixdq.configs.form import Form
from mixdq.configs.form_quantizer import FormQuantizer
from mixdq.configs.quantizer import (
    Grid,
    fp8_quantizer,
    quantize_e4m3,
    quantize_weight,
    weight_scales,
)
from mixdq.configs.quantizing import Clipping
from mixdq.configs.ranges import Range


def _quantizer(form: str, bits: int = 8, scale_type: str = "float32") -> FormQuantizer:
    return FormQuantizer.of(Form.parse(form), bits, scale_type)


def _drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_each_block_of_a_channel_has_the_scale_of_its_own_largest_weight() -> None:
    weight = np.zeros((2, 64), np.float32)
    weight[0, 3], weight[0, 40], weight[1, 31] = 7, -14, 21
    scales = _quantizer("int4:block32/float", 4).scales(weight, outputs=0)
    np.testing.assert_array_equal(scales, [[1, 2], [3, 1]])  # of 7 steps; 1 where all is 0
    numbers = _quantizer("int4:block32/float", 4).quantize(weight, scales, outputs=0)
    assert (numbers[0, 3], numbers[0, 40], numbers[1, 31]) == (7, -7, 7)


@pytest.mark.parametrize(
    "form", ["int4:block32/float", "int4:channel/float", "fp8:channel/fp8", "fp8:tensor/fp8"]
)
def test_a_weight_with_its_inputs_first_is_quantized_as_with_them_last(form: str) -> None:
    weight, quantizer = _drawn(8, 96), _quantizer(form, 4)
    scales, turned = quantizer.scales(weight, outputs=0), quantizer.scales(weight.T, outputs=1)
    np.testing.assert_array_equal(scales.T, turned)
    numbers = quantizer.quantize(weight, scales, outputs=0)
    np.testing.assert_array_equal(numbers.T, quantizer.quantize(weight.T, turned, outputs=1))
    real = quantizer.dequantize(numbers, scales, outputs=0)
    np.testing.assert_array_equal(real.T, quantizer.dequantize(numbers.T, turned, outputs=1))
    # E4M3 has 4 significant bits, INT4 15 steps about 0.
    assert 0 < np.abs(real - weight).max() < np.abs(weight).max() / 13


def test_blocks_of_a_convolution_are_of_its_input_channels_at_each_pixel_of_the_kernel() -> None:
    weight, quantizer = _drawn(2, 64, 3, 3), _quantizer("int4:block32/float", 4)
    scales = quantizer.scales(weight, outputs=0)
    assert scales.shape == (2, 2, 3, 3)
    expected = np.abs(weight[1, 32:, 2, 0]).max() / np.float32(7)
    assert scales[1, 1, 2, 0] == expected


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("scale_type", ["float16", "float32"])
def test_a_scale_a_channel_is_that_of_int8_storage_whatever_holds_it(bits: int, scale_type: str) -> None:
    weight = _drawn(8, 33)
    quantizer = _quantizer("int4:channel/float", bits, scale_type)
    scales = quantizer.scales(weight, outputs=0)
    np.testing.assert_array_equal(scales, weight_scales(weight, bits, axis=0, scale_type=scale_type))
    numbers = quantizer.quantize(weight, scales, outputs=0)
    np.testing.assert_array_equal(numbers, quantize_weight(weight, scales, bits, axis=0))
    assert np.abs(numbers).max() == 2 ** (bits - 1) - 1


def test_more_bits_than_are_stored_are_not_asked_of_the_grid() -> None:
    assert _quantizer("int4:channel/float", 8).grid == Grid.signed(4)


@pytest.mark.parametrize("outputs", [0, 1])
def test_blocks_that_do_not_divide_the_inputs_are_refused(outputs: int) -> None:
    weight = _drawn(8, 80) if outputs == 0 else _drawn(80, 8)
    with pytest.raises(
        PlanError, match=r"blocks of 32 don't divide the 80 inputs .*`mixdq-compile legalize`"
    ):
        _quantizer("int4:block32/float").scales(weight, outputs=outputs)


def test_fp8_rounds_as_another_implementation_does() -> None:
    draw = np.random.default_rng(0)
    ties = np.arange(-8000, 8000) / 2.0**10 * 2.0 ** draw.integers(-6, 9, 16000)
    values = np.concatenate(
        [draw.normal(0, 100, 20_000), draw.normal(0, 0.02, 20_000), ties, [0.0, -0.0, 448, 464, -1e9, 2**-10]]
    ).astype(np.float32)
    found = quantize_e4m3(values, np.float32(1))
    expected = np.clip(values, -448, 448).astype(ml_dtypes.float8_e4m3fn).astype(np.float32)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) > 240  # of 253 numbers


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(17, 16), (19, 20), (1.0625, 1), (1.1875, 1.25), (2**-10, 0), (3 * 2**-10, 2**-8), (500, 448)],
)
def test_fp8_rounds_halves_to_even_and_saturates(value: float, rounded: float) -> None:
    assert quantize_e4m3(np.asarray([value, -value], np.float32), np.float32(1)).tolist() == [
        rounded,
        -rounded,
    ]


def test_an_fp8_activation_reaches_448_at_the_greatest_magnitude() -> None:
    quantizer = fp8_quantizer(Range(-896, 224), scale_type="float16")
    assert (float(quantizer.scale), quantizer.zero_point, quantizer.grid.floating) == (2.0, 0, True)
    assert fp8_quantizer(Range(0, 0), scale_type="float16").scale == 1


@pytest.mark.parametrize("form", ["int4:channel/float", "int4:block32/float"])
@pytest.mark.parametrize("outputs", [0, 1])
def test_scales_of_least_squared_error_never_err_more_than_min_max(form: str, outputs: int) -> None:
    weight = _drawn(8, 96)
    weight[:, ::32] *= 5  # in every block
    errors = []
    for clipping in Clipping:
        quantizer = FormQuantizer.of(Form.parse(form), 4, "float16", clipping)
        turned = weight if outputs == 0 else weight.T
        scales = quantizer.scales(turned, outputs=outputs)
        real = quantizer.dequantize(
            quantizer.quantize(turned, scales, outputs=outputs), scales, outputs=outputs
        )
        real = real if outputs == 0 else real.T
        errors.append(((real - weight) ** 2).reshape(8, -1, quantizer.block_of(96) or 96).sum(axis=2))
    assert np.all(errors[1] <= errors[0])
    assert errors[1].sum() < 0.85 * errors[0].sum()


def test_fp8_has_no_other_scales_than_min_max() -> None:
    weight, form = _drawn(8, 96), Form.parse("fp8:channel/fp8")
    least, most = (FormQuantizer.of(form, 8, "float16", each).scales(weight, outputs=0) for each in Clipping)
    np.testing.assert_array_equal(least, most)
