"""mend_concat and widen_float: repairs of types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from mixdq.passes.mend_concat import MendConcatPass
from mixdq.passes.widen_float import WidenFloatPass

RunGraph = Callable[..., list[Any]]

_MIXED = """<ir_version: 10, opset_import: ["" : 20]>
g (float16[1,2] a, float[1,2] b) => (float16[1,4] y) <float[1,4] z> {
    [cat] z = Concat <axis=1> (a, b)
    y = Neg (z)
}"""

_HALF = """<ir_version: 10, opset_import: ["" : 20]>
g (float[2] x, int64[2] n) => (float16[2] y) <float16[2] h, float16[2] k, float16[2] s, float16[2] t> {
    h = Cast <to = 10> (x)
    k = Constant <value = float16[2] {15360, 64512}> ()
    s = Min (h, k)
    [scale] y = Mul (s, w)
}"""


def _half() -> ir.Model:
    model = ir.from_onnx_text(_HALF.replace("(s, w)", "(s, h)"))
    tensor = ir.tensor(np.array([0.1, 65504], dtype=np.float16), name="w")
    weight = ir.Value(name="w", shape=ir.Shape([2]), type=ir.TensorType(tensor.dtype), const_value=tensor)
    model.graph.register_initializer(weight)
    node = next(node for node in model.graph if node.name == "scale")
    node.replace_input_with(1, weight)
    return model


def test_a_concat_of_two_types_gets_the_cast_that_it_lacks(run_graph: RunGraph) -> None:
    model = ir.from_onnx_text(_MIXED)
    with pytest.raises(onnx.shape_inference.InferenceError):
        onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert MendConcatPass()(model).modified
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    feeds = {"a": np.array([[1, 2]], np.float16), "b": np.array([[0.1, 4]], np.float32)}
    (found,) = run_graph(model, feeds)
    assert found.dtype == np.float16
    assert found.tolist() == [[-1, -2, -float(np.float16(0.1)), -4]]


@pytest.mark.parametrize(("first", "second"), [("float", "float"), ("float16", "float16")])
def test_a_concat_of_one_type_is_left_alone(first: str, second: str) -> None:
    text = _MIXED.replace("float16[1,2] a", f"{first}[1,2] a").replace("float[1,2] b", f"{second}[1,2] b")
    model = ir.from_onnx_text(text)
    assert not MendConcatPass()(model).modified
    assert [node.op_type for node in model.graph] == ["Concat", "Neg"]


def test_another_operator_of_two_types_is_left_alone() -> None:
    model = ir.from_onnx_text(_MIXED.replace("Concat <axis=1>", "Add"))
    assert not MendConcatPass()(model).modified


def test_an_fp16_graph_becomes_fp32_with_the_weights_fp16_values(run_graph: RunGraph) -> None:
    model = _half()
    assert WidenFloatPass()(model).modified
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    assert onnx.TensorProto.FLOAT16 not in {value.type.tensor_type.elem_type for value in proto.graph.output}
    assert model.graph.initializers["w"].const_value is not None
    assert model.graph.initializers["w"].const_value.numpy().dtype == np.float32
    feeds = {"x": np.array([0.7, 5], np.float32), "n": np.zeros(2, np.int64)}
    (found,) = run_graph(model, feeds)
    weight = np.array([0.1, 65504], np.float16).astype(np.float32)
    # Minus infinity, a mask's value, stays so; 0.7 is no longer rounded to FP16.
    np.testing.assert_array_equal(found, [np.float32(0.7) * weight[0], -np.inf])


def test_a_graph_without_fp16_is_not_modified() -> None:
    model = _half()
    WidenFloatPass()(model)
    before = ir.to_proto(model).SerializeToString()
    assert not WidenFloatPass()(model).modified
    assert ir.to_proto(model).SerializeToString() == before


def test_integers_are_not_widened() -> None:
    model = _half()
    WidenFloatPass()(model)
    assert model.graph.inputs[1].dtype is ir.DataType.INT64
