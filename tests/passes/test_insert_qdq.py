from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from mixdq.configs.layers import LayerTable
from mixdq.configs.quantizer import quantize_weight, weight_scales
from mixdq.configs.target import Dialect
from mixdq.passes.errors import GraphFormError
from mixdq.passes.insert_qdq import InsertQdqPass
from mixdq.passes.pipeline import apply

Make = Callable[..., Any]

# a, b and c read one tensor; c is a Gemm, d one with transB, e a convolution.
_TEXT = """<ir_version: 10, opset_import: ["" : 21]>
g (float[2,3] x, float[1,2,4,4] image) => (float[2,2] y, float[1,3,4,4] z)
<float[3,2] wa = {0.1, 0.7, -0.3, 1.1, 2.3, -0.9}, float[3,2] wb = {1.3, 0.2, 0.6, -0.8, 0.4, 9.5},
 float[3,2] wc = {0.5, -1.5, 2.5, 3.5, -4.5, 5.5}, float[2,2] wd = {1, -20, 0.3, 0.4},
 float[3,2,1,1] we = {1, -2, 30, 40, -0.5, 0.6},
 float[2,2] a, float[2,2] b, float[2,2] c, float[2,2] ab, float[2,2] abc, float[2,3] r> {
    r = Relu (x)
    ["a"] a = MatMul (r, wa)
    ["b"] b = MatMul (r, wb)
    ["c"] c = Gemm (r, wc)
    ab = Add (a, b)
    abc = Add (ab, c)
    ["d"] y = Gemm <transB = 1> (abc, wd)
    ["e"] z = Conv (image, we)
}"""
_SHAPES = {"a": (2, 3), "b": (2, 3), "c": (2, 3), "d": (2, 2), "e": (3, 2, 1, 1)}
_AXES = {"a": 1, "b": 1, "c": 1, "d": 0, "e": 0}


@pytest.fixture
def table(make_table: Make) -> LayerTable:
    table: LayerTable = make_table(_SHAPES)
    return table


def _insert(
    model: ir.Model, table: LayerTable, plan: Any, ranges: Any, dialect: Dialect = Dialect.ORT
) -> bool:
    return InsertQdqPass(plan, table, ranges, dialect)(model).modified


def _array(model: ir.Model, name: str) -> Any:
    value = model.graph.initializers[name].const_value
    assert value is not None
    return value.numpy()


def _count(model: ir.Model, op_type: str) -> int:
    return [node.op_type for node in model.graph].count(op_type)


def _input_of(model: ir.Model, name: str, index: int = 0) -> ir.Value:
    node = next(node for node in model.graph if node.name == name)
    value = node.inputs[index]
    assert value is not None
    return value


def test_the_graph_stays_valid_and_close_to_the_original(
    table: LayerTable, make_plan: Make, make_ranges: Make, run_graph: Make
) -> None:
    model = ir.from_onnx_text(_TEXT)
    draw = np.random.default_rng(0)
    feeds = {
        "x": draw.uniform(-1, 2, (2, 3)).astype(np.float32),
        "image": draw.uniform(-1, 2, (1, 2, 4, 4)).astype(np.float32),
    }
    expected = run_graph(model, feeds)
    assert _insert(model, table, make_plan(table, "W8A8"), make_ranges(table, others={"d": ((-30, 30),)}))
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    for found, wanted in zip(run_graph(model, feeds), expected, strict=True):
        error = np.abs(found - wanted).max() / np.abs(wanted).max()
        assert 0 < error < 0.02


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("dialect", list(Dialect))
def test_weights_are_the_reference_quantizers_integers_along_their_channels(
    table: LayerTable, make_plan: Make, make_ranges: Make, bits: int, dialect: Dialect
) -> None:
    model = ir.from_onnx_text(_TEXT)
    weights = {name: _array(model, f"w{name}") for name in _SHAPES}
    _insert(model, table, make_plan(table, f"W{bits}A16"), make_ranges(table), dialect)
    for name, weight in weights.items():
        axis = _AXES[name]
        scales = weight_scales(weight, bits, axis=axis, scale_type=dialect.float_type)
        stored = _array(model, f"{name}.weight.quantized")
        assert stored.dtype == np.int8
        np.testing.assert_array_equal(stored, quantize_weight(weight, scales, bits, axis=axis))
        assert stored.min() >= -(2 ** (bits - 1))
        assert stored.max() == 2 ** (bits - 1) - 1 or stored.min() <= -(2 ** (bits - 1) - 1)
        scale = _array(model, f"{name}.weight.scale")
        assert scale.dtype == dialect.float_type
        np.testing.assert_array_equal(scale.astype(np.float32), scales)
        node = _input_of(model, name, 1).producer()
        assert node is not None
        assert node.attributes["axis"].as_int() == axis
    assert not {"wa", "wb", "wc", "wd", "we"} & set(model.graph.initializers)


def test_layers_that_read_one_tensor_with_one_range_share_a_pair(
    table: LayerTable, make_plan: Make, make_ranges: Make
) -> None:
    model = ir.from_onnx_text(_TEXT)
    _insert(model, table, make_plan(table, "W8A8"), make_ranges(table))
    assert _count(model, "QuantizeLinear") == 3  # for a, b and c; for d; for e
    assert _input_of(model, "a") is _input_of(model, "b") is _input_of(model, "c")


def test_layers_that_read_one_tensor_with_two_ranges_have_two_pairs(
    table: LayerTable, make_plan: Make, make_ranges: Make
) -> None:
    model = ir.from_onnx_text(_TEXT)
    _insert(model, table, make_plan(table, "W8A8"), make_ranges(table, others={"b": ((-5, 5),)}))
    assert _count(model, "QuantizeLinear") == 4
    assert _input_of(model, "a") is _input_of(model, "c")
    assert _input_of(model, "a") is not _input_of(model, "b")


@pytest.mark.parametrize(("dialect", "pairs"), [(Dialect.TENSORRT, 3), (Dialect.ORT, 4)])
def test_two_ranges_share_a_pair_where_they_give_one_scale_and_zero_point(
    table: LayerTable, make_plan: Make, make_ranges: Make, dialect: Dialect, pairs: int
) -> None:
    model = ir.from_onnx_text(_TEXT)
    # Symmetric: 5 / 127 for both. Asymmetric: 10 / 255 and 7 / 255.
    ranges = make_ranges(table, (-5, 5), others={"b": ((-2, 5),)})
    _insert(model, table, make_plan(table, "W8A8"), ranges, dialect)
    assert _count(model, "QuantizeLinear") == pairs
    assert (_input_of(model, "a") is _input_of(model, "b")) == (dialect is Dialect.TENSORRT)


# An attention: its three projections read one tensor, behind a norm in the model and a Relu here.
_ATTENTION = """<ir_version: 10, opset_import: ["" : 21]>
g (float[1,4,2] x) => (float[1,4,2] q, float[1,4,2] k, float[1,4,2] v)
<float[2,2] wq = {1, 2, 3, 4}, float[2,2] wk = {5, 6, 7, 8}, float[2,2] wv = {9, 1, 2, 3}, float[1,4,2] h> {
    h = Relu (x)
    ["b.attn1.to_q"] q = MatMul (h, wq)
    ["b.attn1.to_k"] k = MatMul (h, wk)
    ["b.attn1.to_v"] v = MatMul (h, wv)
}"""


@pytest.mark.parametrize(
    ("of_q", "readers"),
    [
        ("W8A8", {"b.attn1.to_q", "b.attn1.to_k", "b.attn1.to_v"}),
        ("W4A8", {"b.attn1.to_q", "b.attn1.to_k", "b.attn1.to_v"}),
        ("W8A16", {"b.attn1.to_k", "b.attn1.to_v"}),
        ("FP16", {"b.attn1.to_k", "b.attn1.to_v"}),
    ],
)
def test_projections_share_a_pair_whatever_their_weights_but_not_with_an_input_kept_in_float(
    make_table: Make, make_plan: Make, make_ranges: Make, of_q: str, readers: set[str]
) -> None:
    table = make_table({f"b.attn1.to_{name}": (2, 2) for name in "qkv"})
    model = ir.from_onnx_text(_ATTENTION)
    _insert(model, table, make_plan(table, of_q, "W8A8", "W8A8"), make_ranges(table))
    assert _count(model, "QuantizeLinear") == 1
    assert {node.name for node in _input_of(model, "b.attn1.to_k").consumers()} == readers


def test_nothing_but_a_layers_input_is_quantized(
    make_table: Make, make_plan: Make, make_ranges: Make
) -> None:
    # A residual block: conv, activation, conv, and the sum with what came in.
    model = ir.from_onnx_text("""<ir_version: 10, opset_import: ["" : 21]>
    g (float[1,1,2,2] x) => (float[1,1,2,2] y) <float[1,1,1,1] w1 = {1}, float[1,1,1,1] w2 = {2}> {
        ["conv1"] a = Conv (x, w1)
        s = Sigmoid (a)
        b = Mul (a, s)
        ["conv2"] c = Conv (b, w2)
        y = Add (x, c)
    }""")
    table = make_table({"conv1": (1, 1, 1, 1), "conv2": (1, 1, 1, 1)})
    _insert(model, table, make_plan(table, "W8A8"), make_ranges(table))
    quantized = [node for node in model.graph if node.op_type == "QuantizeLinear"]
    assert [node.inputs[0].name for node in quantized if node.inputs[0]] == ["x", "b"]
    total = model.graph.outputs[0].producer()
    assert total is not None
    assert [value.name for value in total.inputs if value is not None] == ["x", "c"]


@pytest.mark.parametrize("first", ["a", "b", "c"])
def test_a_shared_pair_comes_before_all_its_readers_whatever_the_tables_order(
    make_table: Make, make_plan: Make, make_ranges: Make, first: str
) -> None:
    # diffusers lists a UNet's mid block after its up blocks, but runs it before them.
    table = make_table({first: _SHAPES[first], **_SHAPES})
    model = ir.from_onnx_text(_TEXT)
    _insert(model, table, make_plan(table, "W8A8"), make_ranges(table))
    onnx.checker.check_model(ir.to_proto(model))


def test_a_protected_layer_keeps_its_activation_and_a_kept_one_everything(
    table: LayerTable, make_plan: Make, make_ranges: Make
) -> None:
    model = ir.from_onnx_text(_TEXT)
    plan = make_plan(table, "W8A8", "W8A16", "FP16", "FP16", "FP16")
    assert _insert(model, table, plan, make_ranges(table))
    assert _count(model, "QuantizeLinear") == 1
    assert _count(model, "DequantizeLinear") == 3
    assert _input_of(model, "b").name == "r"
    assert (_input_of(model, "c").name, _input_of(model, "c", 1).name) == ("r", "wc")


def test_a_plan_that_quantizes_nothing_changes_nothing(
    table: LayerTable, make_plan: Make, make_ranges: Make
) -> None:
    model = ir.from_onnx_text(_TEXT)
    before = ir.to_proto(model).SerializeToString()
    assert not _insert(model, table, make_plan(table, "FP16"), make_ranges(table))
    assert ir.to_proto(model).SerializeToString() == before


@pytest.mark.parametrize(
    ("dialect", "scale", "zero_point", "integer"),
    [(Dialect.ORT, 3 / 255, 85, np.uint8), (Dialect.TENSORRT, 2 / 127, 0, np.int8)],
)
def test_activation_parameters_are_of_the_dialects_types(
    table: LayerTable,
    make_plan: Make,
    make_ranges: Make,
    dialect: Dialect,
    scale: float,
    zero_point: int,
    integer: type,
) -> None:
    model = ir.from_onnx_text(_TEXT)
    _insert(model, table, make_plan(table, "W8A8"), make_ranges(table, (-1, 2)), dialect)
    found, point = _array(model, "e.input.scale"), _array(model, "e.input.zero_point")
    assert (found.dtype, point.dtype) == (np.dtype(dialect.float_type), np.dtype(integer))
    assert found.shape == point.shape == ()
    assert found == np.asarray(scale, dtype=dialect.float_type)
    assert point == zero_point


def test_a_taken_name_is_refused(table: LayerTable, make_plan: Make, make_ranges: Make) -> None:
    model = ir.from_onnx_text(
        _TEXT.replace("float[2,2] wd", "float[2,2] taken = {1, 2, 3, 4}, float[2,2] wd")
    )
    model.graph.initializers["taken"].name = "d.weight.scale"
    step = InsertQdqPass(make_plan(table, "W8A8"), table, make_ranges(table), Dialect.ORT)
    with pytest.raises(GraphFormError, match=r"already has a constant d\.weight\.scale"):
        step(model)


def test_activations_of_other_widths_are_refused(
    table: LayerTable, make_plan: Make, make_ranges: Make
) -> None:
    with pytest.raises(GraphFormError, match="a asks for 4-bit activations: Q/DQ graphs hold 8 bits"):
        _insert(ir.from_onnx_text(_TEXT), table, make_plan(table, "W8A4"), make_ranges(table))


def test_a_weight_that_is_no_constant_is_refused(
    table: LayerTable, make_plan: Make, make_ranges: Make
) -> None:
    model = ir.from_onnx_text(_TEXT.replace("(image, we)", "(image, image)"))
    step = InsertQdqPass(make_plan(table, "W8A8"), table, make_ranges(table), Dialect.ORT)
    with pytest.raises(GraphFormError, match="the weight of e is no constant"):
        apply(ir.passes.Sequential(step), model)
