"""How a weight becomes what its form stores: which numbers share a scale, and what is left of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixdq.configs.clipping import Rounder, least_error_scales, nearest_even, rounded
from mixdq.configs.errors import PlanError
from mixdq.configs.form import Form, Granularity, WeightFormat
from mixdq.configs.quantizer import (
    FloatArray,
    Grid,
    IntArray,
    quantize_e4m3,
    scales_for,
)
from mixdq.configs.quantizing import Clipping

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FormQuantizer:
    """The symmetric quantizer of a weight.

    Weights are `[out, in, ...]`, or `[in, out]` as a MatMul takes them; `outputs` is the axis of the outputs,
    0 or 1, and the other of the two is that of the inputs.

    Attributes:
        grid: the numbers that are stored.
        granularity: what shares a scale.
        scale_type: NumPy's name of the type that stores the scales.
        clipping: how the scales of integers are found; those of FP8 are min-max, because its numbers lie
            the closer the smaller they are.
    """

    grid: Grid
    granularity: Granularity
    scale_type: str
    clipping: Clipping = Clipping.MINMAX

    @classmethod
    def of(
        cls, form: Form, bits: int, scale_type: str, clipping: Clipping = Clipping.MINMAX
    ) -> FormQuantizer:
        """The quantizer of a form.

        Args:
            form: how a layer runs, its weight quantized.
            bits: 2 to 8, of the integers' grid: fewer than the form's leave some of what it stores unused.
            scale_type: NumPy's name of the type that stores the scales.
            clipping: how they are found.
        """
        grid = Grid.e4m3() if form.weight is WeightFormat.FP8 else Grid.signed(min(bits, form.weight.bits))
        return cls(grid, form.granularity, scale_type, clipping)

    def scales(self, weight: FloatArray, *, outputs: int) -> FloatArray:
        """The scales, FP32 values that are representable in `scale_type`.

        Returns:
            None of the weight's axes (one scale), that of its outputs, or all of them: the axis of the
            inputs then counts blocks (ONNX DequantizeLinear).

        Raises:
            PlanError: blocks don't divide the inputs.
        """
        groups, sizes = self._groups(weight, outputs)
        if self.clipping is Clipping.MSE and not self.grid.floating:
            return least_error_scales(groups, self.grid, scale_type=self.scale_type).reshape(sizes)
        return scales_for(np.abs(groups).max(axis=1), self.grid, self.scale_type).reshape(sizes)

    def quantize(
        self,
        weight: FloatArray,
        scales: FloatArray,
        *,
        outputs: int,
        layer: str = "",
        rounder: Rounder = nearest_even,
    ) -> IntArray | Float32Array:
        """The numbers that are stored, of the weight's shape: INT8, or FP32 ones that E4M3 has.

        Args:
            weight: what is quantized.
            scales: that `scales` gave.
            outputs: the axis of the outputs.
            layer: whose weight, for the rounder.
            rounder: chooses integers; numbers of E4M3 are always the nearest.

        Raises:
            GraphError: the rounder gave something else than integers of the grid.
        """
        spread = self.spread(scales, weight.ndim, outputs=outputs)
        if self.grid.floating:
            return quantize_e4m3(weight, spread)
        return rounded(rounder, layer, weight, spread, self.grid)

    def dequantize(
        self, numbers: IntArray | Float32Array, scales: FloatArray, *, outputs: int
    ) -> Float32Array:
        """The FP32 weight that the numbers stand for."""
        spread = self.spread(scales, numbers.ndim, outputs=outputs).astype(np.float32)
        return numbers.astype(np.float32) * spread

    def block_of(self, inputs: int) -> int | None:
        """How many of a weight's inputs share a scale; None if it is not by blocks.

        Raises:
            PlanError: blocks don't divide the inputs.
        """
        block = self.granularity.block
        if block is not None and inputs % block:
            raise PlanError(
                f"blocks of {block} don't divide the {inputs} inputs of a weight; make the plan legal again "
                "with `mixdq-compile legalize`, or give the layer a scale a channel"
            )
        return block

    def spread(self, scales: FloatArray, ndim: int, *, outputs: int) -> FloatArray:
        """The scales in a shape that is multiplied with the weight."""
        if self.granularity.block is not None:
            return scales.repeat(self.granularity.block, axis=1 - outputs)
        if self.granularity is Granularity.TENSOR:
            return scales
        return scales.reshape([-1 if axis == outputs else 1 for axis in range(ndim)])

    def _groups(self, weight: FloatArray, outputs: int) -> tuple[FloatArray, tuple[int, ...]]:
        """`[groups, weights that share a scale]`, and the shape of the scales."""
        shape, inputs = weight.shape, 1 - outputs
        if self.granularity is Granularity.TENSOR:
            return weight.reshape(1, -1), ()
        if (block := self.block_of(shape[inputs])) is None:
            return np.moveaxis(weight, outputs, 0).reshape(shape[outputs], -1), (shape[outputs],)
        sizes = (*shape[:inputs], shape[inputs] // block, *shape[inputs + 1 :])
        blocks = weight.reshape(*sizes[: inputs + 1], block, *sizes[inputs + 1 :])
        return np.moveaxis(blocks, inputs + 1, -1).reshape(-1, block), sizes
