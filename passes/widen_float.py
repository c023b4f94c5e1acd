"""FP16 graphs to FP32."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_HALF, _SINGLE = ir.DataType.FLOAT16, ir.DataType.FLOAT


class WidenFloatPass(ir.passes.InPlacePass):
    """Computes everything in FP32 that the graph computes in FP16; the weights keep their FP16 values.

    ONNX Runtime's CPU provider has no FP16 kernels for most operators and inserts casts, and fuses Q/DQ into
    integer kernels only for FP32 scales.
    """

    def __str__(self) -> str:
        return "WidenFloatPass()"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Retypes values, constants and the `to` of casts."""
        values = [*model.graph.inputs, *model.graph.initializers.values()]
        values += [output for node in model.graph for output in node.outputs]
        modified = False
        for value in values:
            if value.dtype is _HALF:
                value.dtype = _SINGLE
                modified = True
            if value.const_value is not None and value.const_value.dtype is _HALF:
                value.const_value = _widened(value.const_value)
        for node in model.graph:
            modified |= _widen_attributes(node)
        return ir.passes.PassResult(model, modified)


def _widen_attributes(node: ir.Node) -> bool:
    modified = False
    for attribute in list(node.attributes.values()):
        if attribute.type is ir.AttributeType.TENSOR and attribute.as_tensor().dtype is _HALF:
            node.attributes.add(ir.AttrTensor(attribute.name, _widened(attribute.as_tensor())))
            modified = True
        if node.op_type == "Cast" and attribute.name == "to" and attribute.as_int() == _HALF.value:
            node.attributes.add(ir.AttrInt64("to", _SINGLE.value))
            modified = True
    return modified


def _widened(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """The tensor in FP32, converted whenever somebody asks for its values."""

    def widen() -> ir.TensorProtocol:
        return ir.Tensor(tensor.numpy().astype(np.float32), name=tensor.name)

    return ir.LazyTensor(widen, dtype=_SINGLE, shape=_fixed(tensor), name=tensor.name)


def _fixed(tensor: ir.TensorProtocol) -> ir.Shape:
    return ir.Shape(list(tensor.shape.numpy()))
