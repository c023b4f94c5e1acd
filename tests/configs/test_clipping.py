"""Scales of least squared error against a search of every ratio, in FP64; roundings that are plugged in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mixdq.configs.clipping import least_error_scales, nearest_even, rounded
from mixdq.configs.errors import GraphError
from mixdq.configs.quantizer import (
    FloatArray,
    Grid,
    IntArray,
    dequantize_weight,
    quantize_weight,
    weight_scales,
)

Weights = npt.NDArray[np.float32]
FOUR = Grid.signed(4)


def _weights(tails: float, *shape: int) -> Weights:
    draw = np.random.default_rng(7)
    return draw.standard_t(tails, size=shape).astype(np.float32) * np.float32(0.03)


def _errors(weight: Weights, scales: FloatArray, bits: int) -> npt.NDArray[np.float64]:
    real = dequantize_weight(quantize_weight(weight, scales, bits, axis=0), scales, axis=0)
    errors: npt.NDArray[np.float64] = np.square(real.astype(np.float64) - weight).sum(axis=1)
    return errors


@pytest.mark.parametrize("tails", [3.0, 100.0])
@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_the_scale_is_as_good_as_the_best_of_all_ratios(bits: int, tails: float) -> None:
    weight, grid = _weights(tails, 24, 300), Grid.signed(bits)
    widest = np.abs(weight).max(axis=1) / grid.maximum
    every = [_errors(weight, widest * np.float32(step / 1000), bits) for step in range(5, 1001)]
    best = np.min(every, axis=0)
    found = _errors(weight, least_error_scales(weight, grid, scale_type="float32"), bits)
    assert (found <= every[-1] * (1 + 1e-6)).all()  # never worse than min-max
    # At 8 bits the error hardly depends on the ratio, but for each value's luck in rounding.
    assert found.sum() / best.sum() < (1.05 if bits == 8 else 1.02)
    assert (found / best).max() < 1.2


def test_at_four_bits_clipping_is_worth_decibels_and_at_eight_bits_little() -> None:
    weight = _weights(4.0, 16, 1000)
    gains = []
    for bits in (4, 8):
        widest = weight_scales(weight, bits, axis=0, scale_type="float16")
        searched = least_error_scales(weight, Grid.signed(bits), scale_type="float16")
        plain, clipped = (_errors(weight, scales, bits).sum() for scales in (widest, searched))
        gains.append(10 * np.log10(plain / clipped))
    assert gains[0] > 3
    assert 0 <= gains[1] < gains[0]


def test_groups_of_any_form_are_searched_by_themselves() -> None:
    weight = _weights(4.0, 6, 4, 3, 3)
    found = least_error_scales(weight, FOUR, scale_type="float32")
    np.testing.assert_array_equal(
        found, least_error_scales(weight.reshape(6, 36), FOUR, scale_type="float32")
    )
    assert least_error_scales(weight[3:4], FOUR, scale_type="float32") == found[3]


def test_rows_beyond_what_is_computed_at_once_have_the_scales_of_their_own() -> None:
    weight = _weights(4.0, 3, 40_000)
    found = least_error_scales(weight, FOUR, scale_type="float32")
    for row, scale in zip(weight, found, strict=True):
        assert least_error_scales(row[None], FOUR, scale_type="float32") == scale


def test_scales_can_be_stored_and_a_channel_of_zeros_has_scale_one() -> None:
    weight = _weights(4.0, 3, 50)
    weight[1] = 0
    weight[2] *= np.float32(1e-9)
    scales = least_error_scales(weight, FOUR, scale_type="float16")
    assert scales.dtype == np.float32
    np.testing.assert_array_equal(scales.astype(np.float16).astype(np.float32), scales)
    assert scales[1] == 1
    assert scales[2] == np.float32(np.finfo(np.float16).smallest_subnormal)


def test_a_weight_whose_steps_fit_keeps_its_scale() -> None:
    weight = np.arange(-7, 8, dtype=np.float32)[None] * np.float32(0.5)
    assert least_error_scales(weight, FOUR, scale_type="float16").tolist() == [0.5]


def _towards_zero(layer: str, weight: FloatArray, scales: FloatArray, grid: Grid) -> IntArray:
    return np.clip(np.trunc(weight / scales), grid.minimum, grid.maximum).astype(grid.dtype)


def test_another_rounding_takes_the_place_of_the_nearest() -> None:
    weight = np.array([[7.0, -7.0, 3.9, -3.9], [14.0, 0.0, 5.0, -5.0]], dtype=np.float32)
    scales = np.array([[1.0], [2.0]], dtype=np.float32)
    nearest = rounded(nearest_even, "one", weight, scales, FOUR)
    assert nearest.tolist() == [[7, -7, 4, -4], [7, 0, 2, -2]]
    cut = rounded(_towards_zero, "one", weight, scales, FOUR)
    assert cut.tolist() == [[7, -7, 3, -3], [7, 0, 2, -2]]


@pytest.mark.parametrize(
    ("give", "words"),
    [
        (lambda weight: weight, "float32"),
        (lambda weight: weight.astype(np.int8)[:1], r"int8 \(1, 2\)"),
        (lambda weight: np.full(weight.shape, 8, np.int8), "8 to 8 for one, where the grid is -8 to 7"),
    ],
)
def test_a_rounding_that_leaves_the_grid_is_refused(give: object, words: str) -> None:
    def wrong(layer: str, weight: FloatArray, scales: FloatArray, grid: Grid) -> IntArray:
        return give(weight)  # type: ignore[operator,no-any-return]

    with pytest.raises(GraphError, match=words):
        rounded(wrong, "one", np.ones((2, 2), np.float32), np.ones((2, 1), np.float32), FOUR)
