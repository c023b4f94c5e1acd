"""Pairs without zero points compute what those with them do: in FP64 to the last bits, in FP16 nearly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.quantizing import Activations
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sqnr import sqnr_db
from mixdq.configs.target import Dialect
from mixdq.passes.center_activations import CenterActivationsPass, nodes_of_centers, uncentered
from mixdq.passes.errors import GraphFormError
from mixdq.passes.insert_qdq import InsertQdqPass
from mixdq.passes.pipeline import apply, resolution_pipeline

Make = Callable[..., Any]
Arrays = list[Any]

_SHAPES = {
    "q": (32, 48),
    "k": (24, 48),
    "out": (48, 32),
    "point": (16, 12, 1, 1),
    "kernel": (8, 12, 3, 3),
    "gemm": (10, 48),
}
# q and k read one tensor: q without a bias, k with one that stands first. `point` reads what `kernel` reads.
_TEXT = """<ir_version: 10, opset_import: ["" : 21]>
g (float[1,20,48] x, float[1,12,9,9] image, float[2,48] row)
=> (float[1,20,48] y, float[1,20,24] kb, float[1,16,9,9] p, float[1,8,5,5] c, float[2,10] z)
<CONSTANTS, float[1,20,32] qx, float[1,20,24] kx, float[1,20,48] o> {
    ["q"] qx = MatMul (x, q)
    ["k"] kx = MatMul (x, k)
    ["kb"] kb = Add (k_bias, kx)
    ["out"] o = MatMul (qx, out)
    ["residual"] y = Add (o, x)
    ["point"] p = Conv (image, point)
    ["kernel"] c = Conv <pads = [1,1,1,1], strides = [2,2]> (image, kernel, kernel_bias)
    ["gemm"] z = Gemm <transB = 1> (row, gemm, gemm_bias)
}"""
_RANGE = (-0.7, 3.1)


@pytest.fixture
def table(make_table: Make) -> LayerTable:
    table: LayerTable = make_table(_SHAPES)
    return table


@pytest.fixture
def ranges(table: LayerTable, make_ranges: Make) -> RangeTable:
    ranges: RangeTable = make_ranges(table, _RANGE, others={"out": ((-90.0, 20.0),), "kernel": ((-1, 3),)})
    return ranges


@pytest.fixture
def planned(table: LayerTable, make_plan: Make) -> Callable[[Activations], PrecisionPlan]:
    return lambda activations: replace(make_plan(table, "W8A8"), activations=activations)


def _constants() -> str:
    draw = np.random.default_rng(1)
    shapes = {**_SHAPES, "k_bias": (24,), "kernel_bias": (8,), "gemm_bias": (10,)}
    texts = []
    for name, shape in shapes.items():
        stored = shape[::-1] if name in ("q", "k", "out") else shape
        values = ", ".join(f"{value:.6g}" for value in draw.normal(0.1, 1, stored).ravel())
        texts.append(f"float[{','.join(map(str, stored))}] {name} = {{{values}}}")
    return ", ".join(texts)


_MODEL = _TEXT.replace("CONSTANTS", _constants())


def _feeds(dtype: str) -> dict[str, Any]:
    draw = np.random.default_rng(2)
    shapes = {"x": (1, 20, 48), "image": (1, 12, 9, 9), "row": (2, 48)}
    # With values beyond the range, which saturate.
    return {name: draw.uniform(-0.9, 3.4, shape).astype(dtype) for name, shape in shapes.items()}


def _quantized(table: LayerTable, plan: PrecisionPlan, ranges: RangeTable, dtype: str) -> ir.Model:
    """Q/DQ with zero points; the graph then computes in `dtype`, which scales keep their values in."""
    model = ir.from_onnx_text(_MODEL)
    InsertQdqPass(plan, table, ranges, Dialect.ORT)(model)
    wanted = ir.DataType.from_numpy(np.dtype(dtype))
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    for value in (*values, *model.graph.initializers.values()):
        if value.dtype is ir.DataType.FLOAT:
            value.dtype = wanted
            if value.const_value is not None:
                value.const_value = ir.tensor(value.const_value.numpy().astype(dtype), name=value.name)
    return model


def _exact(model: ir.Model) -> Arrays:
    outputs = ReferenceEvaluator(ir.to_proto(model)).run(None, _feeds("float64"))
    return [np.asarray(output) for output in outputs]


@pytest.mark.parametrize(
    ("activations", "left"), [(Activations.CENTERED, 1), (Activations.CENTERED_PADDED, 0)]
)
def test_in_double_precision_nothing_but_the_form_changes(
    table: LayerTable, ranges: RangeTable, planned: Make, activations: Activations, left: int
) -> None:
    plan = planned(activations)
    model = _quantized(table, plan, ranges, "float64")
    expected = _exact(model)
    assert CenterActivationsPass(plan, table)(model).modified
    for found, wanted in zip(_exact(model), expected, strict=True):
        assert sqnr_db(found, wanted) > 190  # of at most 200
    points = {node.inputs[2] for node in model.graph if node.op_type == "QuantizeLinear"}
    unsigned = [point for point in points if point is not None and point.dtype is ir.DataType.UINT8]
    assert len(unsigned) == left  # that of the padded convolution


def test_in_half_precision_the_error_is_far_below_the_quantizers(
    table: LayerTable, ranges: RangeTable, planned: Make, run_graph: Make
) -> None:
    plan = planned(Activations.CENTERED_PADDED)
    plain = ReferenceEvaluator(ir.to_proto(ir.from_onnx_text(_MODEL))).run(None, _feeds("float32"))
    asymmetric = ReferenceEvaluator(ir.to_proto(_quantized(table, plan, ranges, "float32")))
    expected = asymmetric.run(None, _feeds("float32"))
    model = _quantized(table, plan, ranges, "float16")
    CenterActivationsPass(plan, table)(model)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    found = run_graph(model, _feeds("float16"))
    for one, wanted, real in zip(found, expected, plain, strict=True):
        assert sqnr_db(one.astype(np.float32), np.asarray(wanted)) > 40
        assert sqnr_db(np.asarray(wanted), np.asarray(real)) < 40


def test_one_difference_serves_all_readers_and_only_a_matrix_product_without_bias_gets_an_add(
    table: LayerTable, ranges: RangeTable, planned: Make
) -> None:
    plan = planned(Activations.CENTERED)
    model = _quantized(table, plan, ranges, "float32")
    before = len(list(model.graph))
    CenterActivationsPass(plan, table)(model)
    # Of x, of q's output, of the image for `point`, of the row; to q and out.
    assert nodes_of_centers(model.graph) == {"Sub": 4, "Pad": 0, "Add": 2}
    assert len(list(model.graph)) == before + 6
    nodes = {node.name: node for node in model.graph}
    assert nodes["q"].inputs[0] is nodes["k"].inputs[0]
    quantize = nodes["q.input.centered.quantized"]
    assert quantize.inputs[0] is not None
    assert uncentered(quantize.inputs[0]).name == "x"


def test_the_centre_and_a_bias_by_hand(make_table: Make, make_plan: Make, make_ranges: Make) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]>
    g (float[1,2] x) => (float[1,1] y) <float[1,2] w = {127, 2}, float[1] bias = {5}>
    { ["one"] y = Gemm <transB = 1> (x, w, bias) }"""
    table = make_table({"one": (1, 2)})
    plan = replace(make_plan(table, "W8A8"), activations=Activations.CENTERED)
    model = ir.from_onnx_text(text)
    InsertQdqPass(plan, table, make_ranges(table, (-28.0, 227.0)), Dialect.ORT)(model)
    CenterActivationsPass(plan, table)(model)
    constants = {name: value.const_value for name, value in model.graph.initializers.items()}
    # Scale 1 and zero point 28: 0 to 255 are -28 to 227, whose middle is 100. 5 + 100 (127 + 2).
    assert constants["one.input.center"] is not None
    assert constants["one.input.center"].numpy() == 100
    assert constants["one.bias.centered"] is not None
    assert constants["one.bias.centered"].numpy().tolist() == [12905]
    assert "bias" not in constants


def test_a_padded_input_has_a_size_wherever_the_picture_has_one(
    make_table: Make, make_plan: Make, make_ranges: Make, run_graph: Make
) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]>
    g (float[1,1,"2*h","2*w"] x) => (float[1,1,"2*h","2*w"] y) <float[1,1,3,3] w = {1,2,3,4,5,6,7,8,9}>
    { ["one"] y = Conv <pads = [1,1,1,1]> (x, w) }"""
    table = make_table({"one": (1, 1, 3, 3)})
    plan = replace(make_plan(table, "W8A8"), activations=Activations.CENTERED_PADDED)
    x = np.random.default_rng(0).uniform(-1, 2, (1, 1, 4, 6)).astype(np.float32)
    found = []
    for centers in (False, True):
        model = ir.from_onnx_text(text)
        InsertQdqPass(plan, table, make_ranges(table), Dialect.ORT)(model)
        if centers:
            CenterActivationsPass(plan, table)(model)
            assert nodes_of_centers(model.graph) == {"Sub": 1, "Pad": 1, "Add": 0}
        apply(resolution_pipeline({"x": (1, 1, 4, 6)}), model)
        found += run_graph(model, {"x": x})
        pairs = [node for node in model.graph if node.op_type == "DequantizeLinear" and len(node.inputs) == 3]
        assert [list(node.outputs[0].shape or ()) for node in pairs] == [
            [1, 1, 6, 8] if centers else [1, 1, 4, 6]
        ]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-4)


def test_readers_with_and_without_padding_have_pairs_of_their_own(
    table: LayerTable, planned: Make, make_ranges: Make
) -> None:
    """All convolutions read one tensor in one range: `kernel` stands before `point` in the table."""
    plan = planned(Activations.CENTERED_PADDED)
    backwards = replace(table, layers=table.layers[::-1])
    model = _quantized(backwards, plan, make_ranges(table, _RANGE), "float64")
    expected = _exact(model)
    CenterActivationsPass(plan, backwards)(model)
    names = [value.name for node in model.graph for value in node.outputs]
    assert len(set(names)) == len(names)
    for found, wanted in zip(_exact(model), expected, strict=True):
        assert sqnr_db(found, wanted) > 190


def test_a_plan_that_centers_nothing_leaves_the_graph(
    table: LayerTable, ranges: RangeTable, planned: Make
) -> None:
    plan = planned(Activations.PLAIN)
    model = _quantized(table, plan, ranges, "float32")
    before = ir.to_proto(model).SerializeToString()
    assert not CenterActivationsPass(plan, table)(model).modified
    assert ir.to_proto(model).SerializeToString() == before


def test_a_convolution_with_a_kernel_keeps_its_zero_point_unless_asked(
    table: LayerTable, ranges: RangeTable, planned: Make
) -> None:
    for activations, dtype in ((Activations.CENTERED, "UINT8"), (Activations.CENTERED_PADDED, "INT8")):
        plan = planned(activations)
        model = _quantized(table, plan, ranges, "float32")
        CenterActivationsPass(plan, table)(model)
        kernel = next(node for node in model.graph if node.name == "kernel")
        assert kernel.inputs[0] is not None
        pair = kernel.inputs[0].producer()
        assert pair is not None
        assert pair.inputs[0] is not None
        assert str(pair.inputs[0].dtype) == dtype
        assert tuple(kernel.attributes["pads"].as_ints()) == ((1,) * 4 if dtype == "UINT8" else (0,) * 4)


def test_the_pass_refuses_to_run_twice(table: LayerTable, ranges: RangeTable, planned: Make) -> None:
    plan = planned(Activations.CENTERED)
    model = _quantized(table, plan, ranges, "float32")
    CenterActivationsPass(plan, table)(model)
    with pytest.raises(GraphFormError, match="the input of q comes from no pair with a UINT8 zero point"):
        CenterActivationsPass(plan, table).call(model)


def test_a_bias_that_half_precision_cant_hold_is_refused(
    table: LayerTable, planned: Make, make_ranges: Make
) -> None:
    plan = planned(Activations.CENTERED)
    huge = make_ranges(table, others={"gemm": ((0.0, 60000.0),), "kernel": ((-1, 3),)})
    model = _quantized(table, plan, huge, "float16")
    with pytest.raises(GraphFormError, match=r"bias of gemm grows to .*beyond FLOAT16.*--protect gemm"):
        CenterActivationsPass(plan, table).call(model)


def test_an_input_that_a_layer_without_a_centre_shares_is_refused(
    table: LayerTable, ranges: RangeTable, planned: Make
) -> None:
    plan = planned(Activations.CENTERED)
    model = _quantized(table, plan, ranges, "float32")
    nodes = {node.name: node for node in model.graph}
    nodes["kernel"].replace_input_with(0, nodes["point"].inputs[0])
    with pytest.raises(GraphFormError, match="point shares its quantized input with kernel"):
        CenterActivationsPass(plan, table).call(model)
