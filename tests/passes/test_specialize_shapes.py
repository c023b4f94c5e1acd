from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from mixdq.passes.errors import GraphFormError
from mixdq.passes.specialize_shapes import SpecializeShapesPass

RunGraph = Callable[..., list[Any]]

_TEXT = """<ir_version: 10, opset_import: ["" : 20]>
g (float[1,2,"8*h","8*w"] x) => (float["2",n] y)
<float[1,2,"4*h","4*w"] small, int64[2] tail = {2, -1}> {
    small = AveragePool <kernel_shape = [2,2], strides = [2,2]> (x)
    s = Shape <start = 2> (small)
    t = Shape <start = 0, end = 2> (small)
    f = Reshape (small, tail)
    u = Concat <axis = 0> (s, t)
    z = Reshape (small, u)
    y = Reshape (z, tail)
}"""


def _graph() -> ir.Model:
    model = ir.from_onnx_text(_TEXT.replace('float["2",n] y', "float[2,m] y"))
    model.graph.outputs[0].shape = ir.Shape([2, ir.SymbolicDim("16*h*w")])
    return model


def _shape(model: ir.Model, name: str) -> list[object]:
    values = [*model.graph.inputs, *(output for node in model.graph for output in node.outputs)]
    shape = next(value.shape for value in values if value.name == name)
    assert shape is not None
    return list(shape)


def test_every_shape_becomes_a_number_and_the_result_stays(run_graph: RunGraph) -> None:
    x = np.random.default_rng(0).normal(size=(1, 2, 16, 24)).astype(np.float32)
    (expected,) = run_graph(_graph(), {"x": x})
    model = _graph()
    assert SpecializeShapesPass({"x": (1, 2, 16, 24)})(model).modified
    assert _shape(model, "x") == [1, 2, 16, 24]
    assert _shape(model, "small") == [1, 2, 8, 12]
    assert _shape(model, "y") == [2, 96]
    (found,) = run_graph(model, {"x": x})
    np.testing.assert_array_equal(found, expected)


def test_shape_nodes_become_constants() -> None:
    model = _graph()
    SpecializeShapesPass({"x": (1, 2, 16, 24)})(model)
    assert "Shape" not in {node.op_type for node in model.graph}
    folded = {name: model.graph.initializers[name].const_value for name in ("s", "t")}
    assert {name: value.numpy().tolist() for name, value in folded.items() if value is not None} == {
        "s": [8, 12],
        "t": [1, 2],
    }


def test_a_specialized_graph_is_not_modified_again() -> None:
    model = _graph()
    SpecializeShapesPass({"x": (1, 2, 16, 24)})(model)
    assert not SpecializeShapesPass({"x": (1, 2, 16, 24)})(model).modified


@pytest.mark.parametrize(
    ("size", "fault"),
    [
        ((1, 2, 20, 24), r"the input x can't have the size 20: it is 8\*h there"),
        ((1, 3, 16, 24), "the input x has the fixed size 2 where 3 is wanted"),
        ((2, 16, 24), "not the rank of"),
    ],
)
def test_a_size_that_does_not_fit_is_refused(size: tuple[int, ...], fault: str) -> None:
    with pytest.raises(GraphFormError, match=fault):
        SpecializeShapesPass({"x": size})(_graph())


def test_a_symbol_can_not_be_two_numbers() -> None:
    model = _graph()
    model.graph.inputs[0].shape = ir.Shape([1, 2, ir.SymbolicDim("8*h"), ir.SymbolicDim("8*h")])
    with pytest.raises(GraphFormError, match=r"can't have the size 24: it is 8\*h there"):
        SpecializeShapesPass({"x": (1, 2, 16, 24)})(model)


def test_a_size_with_an_offset_is_not_taken_for_a_multiple() -> None:
    model = _graph()
    model.graph.inputs[0].shape = ir.Shape([1, 2, ir.SymbolicDim("8*h + 4"), ir.SymbolicDim("8*w")])
    with pytest.raises(GraphFormError, match="can't have the size 24"):
        SpecializeShapesPass({"x": (1, 2, 24, 24)})(model)  # 8 h + 4 is 24 for no h


def test_a_shape_that_no_input_determines_is_refused() -> None:
    with pytest.raises(GraphFormError, match=r"a shape depends on .*, which no input determines"):
        SpecializeShapesPass({})(_graph())
