"""What a form's numbers are in ONNX: element types, packed bytes, the attributes of a DequantizeLinear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mixdq.configs.form import ActivationFormat, Form, Granularity, WeightFormat
from mixdq.configs.quantizer import Grid

WEIGHT_TYPES: Mapping[WeightFormat, ir.DataType] = {
    WeightFormat.INT8: ir.DataType.INT8,
    WeightFormat.INT4: ir.DataType.INT4,
    WeightFormat.FP8: ir.DataType.FLOAT8E4M3FN,
}
"""The element type of each weight that a graph holds behind a DequantizeLinear."""

ACTIVATION_TYPES: Mapping[ActivationFormat, ir.DataType] = {
    ActivationFormat.INT8: ir.DataType.INT8,
    ActivationFormat.UINT8: ir.DataType.UINT8,
    ActivationFormat.FP8: ir.DataType.FLOAT8E4M3FN,
}
"""The element type of each activation's zero point, which is that of what is quantized."""


def stored_weight(numbers: npt.NDArray[np.generic], form: WeightFormat) -> ir.TensorProtocol:
    """The constant that holds a weight's numbers; INT4 is packed two a byte, the first in the lower half.

    Args:
        numbers: INT8, of INT4's width where the form has it; FP32 for FP8, each a number of E4M3.
        form: what they are stored as.
    """
    dtype = WEIGHT_TYPES[form]
    if form is WeightFormat.INT4:
        return ir.PackedTensor(_packed(numbers.astype(np.int8)), dtype, shape=numbers.shape)
    return ir.tensor(np.ascontiguousarray(numbers.astype(dtype.numpy(), copy=False)))


def weight_attributes(form: Form, outputs: int) -> Mapping[str, int]:
    """The attributes of a weight's DequantizeLinear: the axis of its outputs, or that of its blocks.

    Args:
        form: of the layer.
        outputs: the axis of the weight's outputs, 0 or 1; that of its inputs is the other.
    """
    block = form.granularity.block
    return {"axis": outputs} if block is None else {"axis": 1 - outputs, "block_size": block}


def scale_sizes(sizes: Sequence[int], outputs: int, form: Form) -> tuple[int, ...]:
    """The shape of a weight's scales.

    Args:
        sizes: the weight's shape.
        outputs: the axis of its outputs.
        form: of the layer.
    """
    if form.granularity is Granularity.TENSOR:
        return ()
    if (block := form.granularity.block) is None:
        return (sizes[outputs],)
    return tuple(size // block if axis == 1 - outputs else size for axis, size in enumerate(sizes))


def is_scaled_along(dequantize: ir.Node, outputs: int, form: Form) -> bool:
    """Whether a weight's DequantizeLinear applies its scales to the axis and the blocks of the form."""
    wanted = weight_attributes(form, outputs)
    return form.granularity is Granularity.TENSOR or (
        dequantize.attributes.get_int("axis", 1) == wanted["axis"]
        and dequantize.attributes.get_int("block_size", 0) == wanted.get("block_size", 0)
    )


def activation_type(grid: Grid) -> ir.DataType:
    """The element type of what is quantized to a grid."""
    return ir.DataType.FLOAT8E4M3FN if grid.floating else ir.DataType.from_numpy(np.dtype(grid.dtype))


def _packed(numbers: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    flat = numbers.reshape(-1).view(np.uint8)
    packed: npt.NDArray[np.uint8] = flat[::2] & np.uint8(0x0F)
    packed[: flat.size // 2] |= flat[1::2] << np.uint8(4)
    return packed
