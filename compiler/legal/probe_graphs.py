"""The tiny graphs that a builder is asked about: one layer, in one form."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from mixdq.configs.form import ActivationFormat, Form, Granularity, WeightFormat
from mixdq.configs.layers import Kind

# Two-bit integers came with opset 25; the passes write 21 and less.
_OPSETS = {WeightFormat.INT2: (25, 13)}
_OPSET = (21, 10)
_WEIGHT_TYPES = {
    WeightFormat.INT8: TensorProto.INT8,
    WeightFormat.INT4: TensorProto.INT4,
    WeightFormat.INT2: TensorProto.INT2,
    WeightFormat.FP8: TensorProto.FLOAT8E4M3FN,
}
_ACTIVATION_TYPES = {
    ActivationFormat.INT8: TensorProto.INT8,
    ActivationFormat.UINT8: TensorProto.UINT8,
    ActivationFormat.FP8: TensorProto.FLOAT8E4M3FN,
}
_ZERO_POINT = 3
"""Of asymmetric activations."""


class Shape(StrEnum):
    """What is multiplied, with sizes that every block divides."""

    GEMM = "GEMM"
    CONVOLUTION_3X3 = "3x3 convolution"
    CONVOLUTION_1X1 = "1x1 convolution"

    @property
    def kind(self) -> Kind:
        """The kind of layer that it stands for."""
        return Kind.LINEAR if self is Shape.GEMM else Kind.CONVOLUTION

    @property
    def weight(self) -> tuple[int, ...]:
        """`(inputs, outputs)` of a MatMul, `(outputs, inputs, height, width)` of a Conv."""
        sizes: dict[Shape, tuple[int, ...]] = {
            Shape.GEMM: (256, 128),
            Shape.CONVOLUTION_3X3: (128, 128, 3, 3),
            Shape.CONVOLUTION_1X1: (128, 128, 1, 1),
        }
        return sizes[self]

    @property
    def tensors(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of the graph's input and output."""
        if self is Shape.GEMM:
            return (1, 64, 256), (1, 64, 128)
        return (1, 128, 16, 16), (1, 128, 16, 16)


def probe_graph(shape: Shape, form: Form, float_type: str) -> ModelProto:
    """One layer `x` to `y` in a form, as mixdq's passes would write it.

    Args:
        shape: what it is.
        form: how it runs.
        float_type: `float16` or `float32`.
    """
    floating = np.dtype(float_type)
    constants: list[TensorProto] = []
    nodes: list[NodeProto] = []
    activation = _activation(form, floating, nodes, constants)
    weight = _weight(shape, form, floating, nodes, constants)
    attributes: dict[str, Any] = {} if shape is Shape.GEMM else {"pads": [shape.weight[2] // 2] * 4}
    operator = "MatMul" if shape is Shape.GEMM else "Conv"
    nodes.append(helper.make_node(operator, [activation, weight], ["y"], name="layer", **attributes))
    element = helper.np_dtype_to_tensor_dtype(floating)
    ends = [
        helper.make_tensor_value_info(name, element, sizes)
        for name, sizes in zip("xy", shape.tensors, strict=True)
    ]
    graph = helper.make_graph(nodes, "probe", ends[:1], ends[1:], constants)
    opset, version = _OPSETS.get(form.weight, _OPSET)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=version)


def _activation(
    form: Form, floating: np.dtype[Any], nodes: list[NodeProto], constants: list[TensorProto]
) -> str:
    if form.activation is ActivationFormat.FLOAT:
        return "x"
    zero_point = _ZERO_POINT if form.activation is ActivationFormat.UINT8 else 0
    constants.append(numpy_helper.from_array(np.asarray(0.05, floating), "x.scale"))
    constants.append(helper.make_tensor("x.zero_point", _ACTIVATION_TYPES[form.activation], [], [zero_point]))
    nodes.append(helper.make_node("QuantizeLinear", ["x", "x.scale", "x.zero_point"], ["x.quantized"]))
    nodes.append(
        helper.make_node("DequantizeLinear", ["x.quantized", "x.scale", "x.zero_point"], ["x.dequantized"])
    )
    return "x.dequantized"


def _weight(
    shape: Shape, form: Form, floating: np.dtype[Any], nodes: list[NodeProto], constants: list[TensorProto]
) -> str:
    draw = np.random.default_rng(0)
    if form.weight is WeightFormat.FLOAT:
        constants.append(numpy_helper.from_array(draw.standard_normal(shape.weight).astype(floating), "w"))
        return "w"
    # Drawn below 120, so that the bytes are numbers in FP8 too.
    count = math.prod(shape.weight) * form.weight.bits // 8
    stored = draw.integers(0, 120, count, dtype=np.uint8).tobytes()
    constants.append(
        helper.make_tensor("w.quantized", _WEIGHT_TYPES[form.weight], shape.weight, stored, raw=True)
    )
    scales, attributes = _scales(shape, form)
    constants.append(numpy_helper.from_array(scales.astype(floating), "w.scale"))
    nodes.append(helper.make_node("DequantizeLinear", ["w.quantized", "w.scale"], ["w"], **attributes))
    return "w"


def _scales(shape: Shape, form: Form) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
    """The weight's scales and the attributes that say what they are of."""
    outputs, inputs = (1, 0) if shape is Shape.GEMM else (0, 1)
    sizes = list(shape.weight)
    if form.granularity is Granularity.TENSOR:
        return np.full((), 0.01), {}
    if (block := form.granularity.block) is None:
        return np.full(sizes[outputs], 0.01), {"axis": outputs}
    sizes[inputs] //= block
    return np.full(sizes, 0.01), {"axis": inputs, "block_size": block}
