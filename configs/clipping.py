"""Scales of least squared error, and the place for other roundings than to the nearest.

Min-max spends the whole grid on the greatest magnitude of a channel. At few bits it pays to let that one
saturate (`mixdq.configs.quantizing.Clipping`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from mixdq.configs import quantizer
from mixdq.configs.errors import GraphError
from mixdq.configs.quantizer import FloatArray, Grid, IntArray

COARSE_RATIOS = tuple(step / 10 for step in range(10, 0, -1))
"""Of the min-max scale, tried first."""

FINE_STEPS = tuple(step / 50 for step in range(4, -5, -1) if step)
"""Then tried about the best of them; ratios above 1 are not."""

_LEAST_RATIO = 0.02
_VALUES_AT_ONCE = 2**16  # as FP32 twice: what a core's own cache holds


def least_error_scales(groups: FloatArray, grid: Grid, *, scale_type: npt.DTypeLike) -> FloatArray:
    """The scale of least squared error of each group of weights that shares one.

    The ratios of `COARSE_RATIOS`, and then those of `FINE_STEPS` about the best, each rounded to
    `scale_type` before it is judged; of equal errors the one found first, so min-max where nothing is
    gained. Eighteen looks at each weight.

    Args:
        groups: `[groups, ...]`: channels, or blocks of channels.
        grid: integers.
        scale_type: the type that stores the scales.

    Returns:
        `[groups]` FP32, each representable in `scale_type`; 1 where a group is all zero.
    """
    rows = groups.reshape(len(groups), -1)
    at_once = max(1, _VALUES_AT_ONCE // rows.shape[1])
    found = [
        _search(np.ascontiguousarray(rows[start : start + at_once], dtype=np.float32), grid, scale_type)
        for start in range(0, len(rows), at_once)
    ]
    return np.concatenate(found)


class Rounder(Protocol):
    """Chooses the integers of a weight whose scales are known: the place for other roundings.

    One that was learned, or that calibrates as it rounds, finds its own data by the layer's name. Called
    twice for a split shortcut, whose halves are named `LAYER.0` and `LAYER.1`.
    """

    def __call__(self, layer: str, weight: FloatArray, scales: FloatArray, grid: Grid) -> IntArray:
        """A weight's integers.

        Args:
            layer: whose weight.
            weight: FP32, as the graph has it: `[out, in, ...]`, or `[in, out]` of a MatMul.
            scales: FP32, of a shape that broadcasts to the weight's.
            grid: the integers there are.

        Returns:
            Integers of the weight's shape and of the grid's type, none off the grid.
        """


def nearest_even(layer: str, weight: FloatArray, scales: FloatArray, grid: Grid) -> IntArray:
    """The `Rounder` that is used unless another is asked for: to the nearest integer, halves to even."""
    return quantizer.quantize(weight, scales, 0, grid)


def rounded(rounder: Rounder, layer: str, weight: FloatArray, scales: FloatArray, grid: Grid) -> IntArray:
    """What a rounder makes of a weight, checked; see `Rounder`.

    Raises:
        GraphError: the rounder gave something else than integers of the grid.
    """
    integers = rounder(layer, weight, scales, grid)
    if integers.dtype != grid.dtype or integers.shape != weight.shape:
        raise GraphError(
            f"the rounder gave {integers.dtype} {integers.shape} for {layer}, where "
            f"{np.dtype(grid.dtype)} {weight.shape} is wanted"
        )
    if integers.min() < grid.minimum or integers.max() > grid.maximum:
        raise GraphError(
            f"the rounder gave {integers.min()} to {integers.max()} for {layer}, where the grid is "
            f"{grid.minimum} to {grid.maximum}"
        )
    return integers


def _search(rows: npt.NDArray[np.float32], grid: Grid, scale_type: npt.DTypeLike) -> FloatArray:
    widest = np.abs(rows).max(axis=1) / np.float32(grid.maximum)
    buffer = np.empty_like(rows)
    ratio, least = np.ones_like(widest), np.full_like(widest, np.inf)

    def judge(tried: npt.NDArray[np.float32]) -> None:
        nonlocal ratio, least
        error = _squared_errors(rows, _stored(widest * tried, scale_type), grid, buffer)
        better = error < least
        ratio, least = np.where(better, tried, ratio), np.where(better, error, least)

    for each in COARSE_RATIOS:
        judge(np.full_like(widest, each))
    about = ratio
    for step in FINE_STEPS:
        judge(np.clip(about + np.float32(step), _LEAST_RATIO, 1, dtype=np.float32))
    return _stored(widest * ratio, scale_type)


def _squared_errors(
    rows: npt.NDArray[np.float32], scales: FloatArray, grid: Grid, buffer: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """The squared error of each row, `[rows]`; in place, because memory is what takes time."""
    column = scales[:, None]
    np.divide(rows, column, out=buffer)
    np.rint(buffer, out=buffer)
    np.clip(buffer, grid.minimum, grid.maximum, out=buffer)
    buffer *= column
    buffer -= rows
    np.multiply(buffer, buffer, out=buffer)
    total: npt.NDArray[np.float32] = buffer.sum(axis=1)
    return total


def _stored(raw: npt.NDArray[np.float32], scale_type: npt.DTypeLike) -> npt.NDArray[np.float32]:
    """Scales as they are stored: no less than the least positive number, and 1 for nothing but zeros."""
    smallest = np.float32(np.finfo(np.dtype(scale_type)).smallest_subnormal)
    kept = np.maximum(raw.astype(scale_type).astype(np.float32), smallest)
    return np.where(raw == 0, np.float32(1), kept)
