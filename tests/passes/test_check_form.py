"""A graph with one of each planned form passes; each deviation, made by hand, is caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import pytest

from mixdq.configs.layers import LayerTable
from mixdq.configs.target import Dialect
from mixdq.passes.check_form import CheckFormPass
from mixdq.passes.errors import GraphFormError
from mixdq.passes.pipeline import apply

Make = Callable[..., Any]

# p: W8A8. m: W8A16. f: FP16. a.attn2.to_k: W8A16 without BOS. ONNX text gives FP16 as its bits.
_GOOD = """<ir_version: 10, opset_import: ["" : 21]>
g (float[2,3] x, float[1,4,3] encoder_hidden_states) => (float[2,2] y, float[1,4,2] k)
<int8[3,2] wp = {1, 2, 3, 4, 5, 6}, SCALE[2] sp = {1, 2},
 int8[3,2] wm = {1, 2, 3, 4, 5, 6}, SCALE[2] sm = {1, 2},
 float[2,2] wf = {1, 2, 3, 4}, float[3,2] full = {1, 2, 3, 4, 5, 6},
 int8[3,2] wk = {1, 2, 3, 4, 5, 6}, SCALE[2] sk = {1, 2},
 SCALE sx = {5}, POINT zx = {0}, POINT other = {1}, SCALE[1] vector = {5}, int8[3] eights = {0, 0, 0},
 SCALE s_whole = {1}, SCALE[3] s_rows = {1, 2, 3},
 int64[1] one = {1}, int64[1] four = {4}, float[1,1,2] bos = {7, 8}> {
    ["qx"] qx = QuantizeLinear (x, sx, zx)
    ["dx"] dx = DequantizeLinear (qx, sx, zx)
    dp = DequantizeLinear <axis = 1> (wp, sp)
    ["p"] p = MatMul (dx, dp)
    dm = DequantizeLinear <axis = 1> (wm, sm)
    ["m"] m = MatMul (x, dm)
    pm = Add (p, m)
    ["f"] y = MatMul (pm, wf)
    tokens = Slice (encoder_hidden_states, one, four, one)
    dk = DequantizeLinear <axis = 1> (wk, sk)
    ["a.attn2.to_k"] rows = MatMul (tokens, dk)
    ["cat"] k = Concat <axis = 1> (bos, rows)
}"""


def _text(dialect: Dialect) -> str:
    text = _GOOD.replace("POINT", "int8" if dialect.symmetric else "uint8")
    return text.replace("SCALE", "float16" if dialect.symmetric else "float")


def _model(text: str) -> ir.Model:
    model = ir.from_onnx_text(text)
    for node in model.graph:
        if node.op_type == "Slice":
            node.outputs[0].name = "encoder_hidden_states.without_bos"
    model.graph.initializers["bos"].name = "a.attn2.to_k.bos"
    return model


@pytest.fixture
def table(make_table: Make) -> LayerTable:
    table: LayerTable = make_table({"p": (2, 3), "m": (2, 3), "f": (2, 2), "a.attn2.to_k": (2, 3)})
    return table


@pytest.fixture
def check(table: LayerTable, make_plan: Make) -> Callable[[str, Dialect], None]:
    def run(text: str, dialect: Dialect = Dialect.TENSORRT) -> None:
        plan = make_plan(table, "W8A8", "W8A16", "FP16", "W8A16")
        apply(ir.passes.Sequential(CheckFormPass(plan, table, dialect)), _model(text))

    return run


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_graph_as_planned_passes_unchanged(table: LayerTable, make_plan: Make, dialect: Dialect) -> None:
    model = _model(_text(dialect))
    before = ir.to_proto(model).SerializeToString()
    plan = make_plan(table, "W8A8", "W8A16", "FP16", "W8A16")
    assert not CheckFormPass(plan, table, dialect)(model).modified
    assert ir.to_proto(model).SerializeToString() == before


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        pytest.param(
            "MatMul (dx, dp)", "MatMul (dx, full)", "the weight of p is not quantized", id="float weight"
        ),
        pytest.param(
            "MatMul (dx, dp)", "MatMul (x, dp)", "the activation of p is not quantized", id="float input"
        ),
        pytest.param(
            "MatMul (x, dm)", "MatMul (dx, dm)", "the activation of m is quantized", id="protected input"
        ),
        pytest.param(
            'f"] y = MatMul (pm, wf)',
            'f"] y = MatMul (pm, df)',
            "the weight of f is quantized",
            id="kept weight",
        ),
        pytest.param(
            "DequantizeLinear <axis = 1> (wp, sp)",
            "DequantizeLinear <axis = 0> (wp, s_rows)",
            "the weight of p has no scale per output channel",
            id="scale per input channel",
        ),
        pytest.param(
            "DequantizeLinear <axis = 1> (wp, sp)",
            "DequantizeLinear <axis = 0> (wp, sp)",
            "the weight of p has no scale per output channel",
            id="wrong axis",
        ),
        pytest.param(
            "DequantizeLinear <axis = 1> (wp, sp)",
            "DequantizeLinear (wp, s_whole)",
            "the weight of p has no scale per output channel",
            id="scale per tensor",
        ),
        pytest.param(
            "int8[3,2] wp", "uint8[3,2] wp", "the weight of p is not stored as INT8", id="unsigned weight"
        ),
        pytest.param(
            "DequantizeLinear (qx, sx, zx)",
            "DequantizeLinear (qx, sx, other)",
            "the activation of p is dequantized with other parameters",
            id="two zero points",
        ),
        pytest.param("(x, sx, zx)", "(x, vector, zx)", "with other parameters", id="two scales"),
        pytest.param(
            "sx = {5}",
            "s_unused = {5}, float16[1] sx = {5}",
            "activation scale of p is no scalar",
            id="vector scale",
        ),
        pytest.param(
            "float16 sx", "float sx", "the activation scale of p is no FLOAT16", id="wide input scale"
        ),
        pytest.param(
            "float16[2] sm", "float[2] sm", "the weight scale of m is no FLOAT16", id="wide weight scale"
        ),
        pytest.param(
            "int8 zx = {0}", "int8 zx = {3}", "the activation zero point of p is not 0", id="centre off zero"
        ),
        pytest.param(
            "int8 zx", "uint8 zx", "the activation zero point of p is no INT8 constant", id="unsigned input"
        ),
        pytest.param(
            "MatMul (tokens, dk)",
            "MatMul (encoder_hidden_states, dk)",
            "to_k still reads token 0",
            id="token 0",
        ),
        pytest.param(
            "(bos, rows)", "(rows, bos)", "to_k does not begin with its BOS constant", id="BOS at the end"
        ),
        pytest.param("Add (p, m)", "Add (p, dxx)", "dx feeds ", id="a pair for an Add"),
        pytest.param('["m"]', '["n"]', "no node named m", id="a missing node"),
    ],
)
def test_a_deviation_is_caught(check: Callable[[str], None], old: str, new: str, fault: str) -> None:
    text = _text(Dialect.TENSORRT)
    assert old in text
    text = text.replace(old, new)
    if "df)" in new:
        text = text.replace("pm = Add", "df = DequantizeLinear <axis = 1> (wm2, sm)\n    pm = Add")
        text = text.replace("float[2,2] wf", "int8[2,2] wm2 = {1, 2, 3, 4}, float[2,2] wf")
    if "dxx" in new:
        text = text.replace("pm = Add", "dxx = MatMul (dx, full)\n    pm = Add")
    with pytest.raises(GraphFormError, match=fault):
        check(text)


def test_a_signed_zero_point_is_no_form_of_onnx_runtimes(
    check: Callable[[str, Dialect], None],
) -> None:
    text = _text(Dialect.ORT).replace("uint8 zx", "int8 zx")
    with pytest.raises(GraphFormError, match="the activation zero point of p is no UINT8 constant"):
        check(text, Dialect.ORT)


def test_a_half_scale_is_no_form_of_onnx_runtimes(check: Callable[[str, Dialect], None]) -> None:
    text = _text(Dialect.ORT).replace("float sx", "float16 sx")
    with pytest.raises(GraphFormError, match=r"the activation scale of p is no FLOAT\b"):
        check(text, Dialect.ORT)


def test_three_deviations_are_named_and_the_rest_counted(table: LayerTable, make_plan: Make) -> None:
    plan = make_plan(table, "FP16", "FP16", "W8A8", "FP16")
    with pytest.raises(GraphFormError) as refused:
        CheckFormPass(plan, table, Dialect.TENSORRT)(_model(_text(Dialect.TENSORRT)))
    message = str(refused.value)
    assert message.startswith("the quantized graph is not as planned: the weight of p is quantized; ")
    assert message.count(";") == 2
    assert "more)" in message
