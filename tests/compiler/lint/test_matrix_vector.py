from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import pytest

from mixdq.compiler.lint.finding import Severity
from mixdq.compiler.lint.matrix_vector import quantized_matrix_vector_layer
from mixdq.compiler.lint.subject import Planned, Subject
from mixdq.configs.target import Dialect

# `time` takes a vector for each of two images, `to_q` 77 tokens of each.
_GRAPH = """g (float[2,4,8,8] sample, float[2,2] time, float[2,77,2] tokens)
=> (float[2,2] y, float[2,77,2] z)
<int8[2,2] w = {1, 2, 3, 4}, float[2] rows = {1, 2}, float[2,2] full = {1, 2, 3, 4}> {
    dt = DequantizeLinear <axis = 0> (w, rows)
    ["linear"] y = Gemm (time, dt)
    dq = DequantizeLinear <axis = 0> (w, rows)
    ["to_q"] z = MatMul (tokens, dq)
}"""


def test_a_quantized_vector_layer_that_no_plan_asks_for_is_a_failure(
    look: Any, planned: Callable[..., Planned]
) -> None:
    expected = [("linear", "one vector an image, its weight is quantized, and no plan asks")]
    assert look(quantized_matrix_vector_layer, _GRAPH) == expected
    assert look(quantized_matrix_vector_layer, _GRAPH, planned=planned(linear="FP16")) == expected


def test_one_that_the_plan_asks_for_is_a_note(planned: Callable[..., Planned]) -> None:
    graph = ir.from_onnx_text(f'<ir_version: 10, opset_import: ["" : 21]>\n{_GRAPH}').graph
    subject = Subject("g", graph, Dialect.TENSORRT, planned(linear="W8A8"))
    (finding,) = quantized_matrix_vector_layer(subject)
    assert finding.severity is Severity.NOTE
    assert finding.found == "one vector an image, and its weight is quantized"


@pytest.mark.parametrize(
    ("old", "new"),
    [("Gemm (time, dt)", "Gemm (time, full)"), ("float[2,2] time", "float[6,2] time")],
    ids=["not quantized", "three vectors an image"],
)
def test_other_layers_pass(look: Any, old: str, new: str) -> None:
    assert old in _GRAPH
    assert not look(quantized_matrix_vector_layer, _GRAPH.replace(old, new))
