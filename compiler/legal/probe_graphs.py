"""The tiny graphs that a builder is asked about: one layer, in one form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from mixdq.configs.form import ActivationFormat, Form, Granularity, WeightFormat
from mixdq.configs.layer_sizes import input_elements
from mixdq.configs.layers import Kind, LayerTable

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


@dataclass(frozen=True, slots=True)
class ProbeLayer:
    """What is multiplied.

    Attributes:
        title: for people.
        kind: linear or convolution.
        weight_shape: `(out, in)` or `(out, in, height, width)`.
        positions: rows of the input of a linear layer; pixels of a convolution's square output.
        stride: of a convolution.
    """

    title: str
    kind: Kind
    weight_shape: tuple[int, ...]
    positions: int
    stride: int = 1

    @property
    def is_linear(self) -> bool:
        """Whether it is a MatMul, whose weight is `(in, out)`."""
        return self.kind is Kind.LINEAR

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The weight's shape in the graph."""
        return self.weight_shape[::-1] if self.is_linear else self.weight_shape

    @property
    def tensors(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of the graph's input and output; a single row is a vector of a batch of one."""
        outputs, inputs = self.weight_shape[:2]
        if self.is_linear:
            rows = (1,) if self.positions == 1 else (1, self.positions)
            return (*rows, inputs), (*rows, outputs)
        side = math.isqrt(self.positions)
        return (1, inputs, *[side * self.stride] * 2), (1, outputs, side, side)

    def fits(self, form: Form) -> bool:
        """Whether the form's blocks divide the inputs, and packed weights fill whole bytes."""
        block = form.granularity.block
        whole = math.prod(self.weight_shape) * form.weight.bits % 8 == 0
        return whole and (block is None or self.weight_shape[1] % block == 0)

    def __str__(self) -> str:
        return self.title


TINY_LAYERS = (
    ProbeLayer("GEMM", Kind.LINEAR, (128, 256), 64),
    ProbeLayer("3x3 convolution", Kind.CONVOLUTION, (128, 128, 3, 3), 256),
    ProbeLayer("1x1 convolution", Kind.CONVOLUTION, (128, 128, 1, 1), 256),
)
"""Sizes that every block divides."""


def distinct_layers(table: LayerTable, resolution: int) -> tuple[ProbeLayer, ...]:
    """One of each kind, shape and number of positions of a model's layers, named after its first.

    Raises:
        ModelError: the table has no work for the resolution.
    """
    found: dict[tuple[object, ...], ProbeLayer] = {}
    for layer in table:
        read = input_elements(layer, resolution) // layer.weight_shape[1]
        positions = layer.macs[resolution] // layer.weights
        stride = math.isqrt(read // positions)
        made = ProbeLayer(str(layer.name), layer.kind, layer.weight_shape, positions, stride)
        found.setdefault((made.kind, made.weight_shape, positions, stride), made)
    return tuple(found.values())


def probe_graph(layer: ProbeLayer, form: Form, float_type: str, seed: int = 0) -> ModelProto:
    """One layer `x` to `y` in a form, as mixdq's passes would write it.

    Args:
        layer: what it is.
        form: how it runs.
        float_type: `float16` or `float32`.
        seed: of the weight, which nobody looks at but a builder that keeps equal ones once.
    """
    floating = np.dtype(float_type)
    constants: list[TensorProto] = []
    nodes: list[NodeProto] = []
    activation = _activation(form, floating, nodes, constants)
    weight = _weight(layer, form, floating, np.random.default_rng(seed), nodes, constants)
    operator, attributes = ("MatMul", {}) if layer.is_linear else ("Conv", _attributes(layer))
    nodes.append(helper.make_node(operator, [activation, weight], ["y"], name="layer", **attributes))
    element = helper.np_dtype_to_tensor_dtype(floating)
    ends = [
        helper.make_tensor_value_info(name, element, sizes)
        for name, sizes in zip("xy", layer.tensors, strict=True)
    ]
    graph = helper.make_graph(nodes, "probe", ends[:1], ends[1:], constants)
    opset, version = _OPSETS.get(form.weight, _OPSET)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=version)


def _attributes(layer: ProbeLayer) -> dict[str, Any]:
    return {"pads": [layer.weight_shape[2] // 2] * 4, "strides": [layer.stride] * 2}


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
    layer: ProbeLayer,
    form: Form,
    floating: np.dtype[Any],
    draw: np.random.Generator,
    nodes: list[NodeProto],
    constants: list[TensorProto],
) -> str:
    shape = layer.stored_shape
    if form.weight is WeightFormat.FLOAT:
        constants.append(numpy_helper.from_array(draw.standard_normal(shape).astype(floating), "w"))
        return "w"
    # Drawn below 120, so that the bytes are numbers in FP8 too.
    count = -(-math.prod(shape) * form.weight.bits // 8)
    stored = draw.integers(0, 120, count, dtype=np.uint8).tobytes()
    constants.append(helper.make_tensor("w.quantized", _WEIGHT_TYPES[form.weight], shape, stored, raw=True))
    scales, attributes = _scales(layer, form)
    constants.append(numpy_helper.from_array(scales.astype(floating), "w.scale"))
    nodes.append(helper.make_node("DequantizeLinear", ["w.quantized", "w.scale"], ["w"], **attributes))
    return "w"


def _scales(layer: ProbeLayer, form: Form) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
    """The weight's scales and the attributes that say what they are of."""
    outputs, inputs = (1, 0) if layer.is_linear else (0, 1)
    sizes = list(layer.stored_shape)
    if form.granularity is Granularity.TENSOR:
        return np.full((), 0.01), {}
    if (block := form.granularity.block) is None:
        return np.full(sizes[outputs], 0.01), {"axis": outputs}
    sizes[inputs] //= block
    return np.full(sizes, 0.01), {"axis": inputs, "block_size": block}
