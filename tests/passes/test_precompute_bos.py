from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from mixdq.configs.errors import ModelError
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.passes.errors import GraphFormError
from mixdq.passes.pipeline import apply
from mixdq.passes.precompute_bos import PrecomputeBosPass

Make = Callable[..., Any]

_BOS = (823.5, -0.3, 7.1)
_TEXT = """<ir_version: 10, opset_import: ["" : 20]>
g (float[2,4,3] encoder_hidden_states, float[2,4,3] image) => (float[2,4,2] k, float[2,4,2] v, float[2,4,2] q)
<float[3,2] wk = {0.1, 0.7, -0.3, 1.1, 2.3, -0.9}, float[3,2] wv = {1.3, 0.2, 0.6, -0.8, 0.4, 0.9},
 float[2,4,2] k1, float[2,4,2] v1, float[2,4,2] q1> {
    ["a.attn2.to_k"] k1 = MatMul (encoder_hidden_states, wk)
    ["a.attn2.to_v"] v1 = MatMul (encoder_hidden_states, wv)
    ["a.attn2.to_q"] q1 = MatMul (image, wk)
    k = Identity (k1)
    v = Identity (v1)
    q = Identity (q1)
}"""
_SHAPES = {"a.attn2.to_q": (2, 3), "a.attn2.to_k": (2, 3), "a.attn2.to_v": (2, 3)}


@pytest.fixture
def table(make_table: Make) -> LayerTable:
    table: LayerTable = make_table(_SHAPES)
    return table


def _feeds() -> dict[str, Any]:
    draw = np.random.default_rng(0)
    text = draw.normal(size=(2, 4, 3)).astype(np.float32)
    text[:, 0] = _BOS
    return {"encoder_hidden_states": text, "image": draw.normal(size=(2, 4, 3)).astype(np.float32)}


def test_row_0_is_the_constant_and_the_other_rows_stay(
    table: LayerTable, make_plan: Make, make_ranges: Make, run_graph: Make
) -> None:
    model, feeds = ir.from_onnx_text(_TEXT), _feeds()
    before = run_graph(model, feeds)
    plan, ranges = make_plan(table, "W8A8"), make_ranges(table, bos=_BOS)
    assert PrecomputeBosPass(plan, table, ranges)(model).modified
    k, v, q = run_graph(model, feeds)
    for found, weight, old in (
        (k, [[0.1, 0.7], [-0.3, 1.1], [2.3, -0.9]], before[0]),
        (v, [[1.3, 0.2], [0.6, -0.8], [0.4, 0.9]], before[1]),
    ):
        exact = [
            sum(b * float(np.float32(row[column])) for b, row in zip(_BOS, weight, strict=True))
            for column in (0, 1)
        ]
        assert found[:, 0].tolist() == [np.array(exact, dtype=np.float32).tolist()] * 2
        np.testing.assert_allclose(found[:, 1:], old[:, 1:], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(q, before[2])


def test_a_changed_row_0_is_not_read_any_more(
    table: LayerTable, make_plan: Make, make_ranges: Make, run_graph: Make
) -> None:
    model, feeds = ir.from_onnx_text(_TEXT), _feeds()
    PrecomputeBosPass(make_plan(table, "W8A8"), table, make_ranges(table, bos=_BOS))(model)
    before = run_graph(model, feeds)
    feeds["encoder_hidden_states"][:, 0] = np.nan
    for old, new in zip(before, run_graph(model, feeds), strict=True):
        np.testing.assert_array_equal(old, new)


def test_one_slice_serves_all_layers(table: LayerTable, make_plan: Make, make_ranges: Make) -> None:
    model = ir.from_onnx_text(_TEXT)
    PrecomputeBosPass(make_plan(table, "W8A8"), table, make_ranges(table, bos=_BOS))(model)
    assert [node.op_type for node in model.graph].count("Slice") == 1
    constants = {name for name in model.graph.initializers if name.endswith(".bos")}
    assert constants == {"a.attn2.to_k.bos", "a.attn2.to_v.bos"}


@pytest.mark.parametrize(("precisions", "bos_aware"), [(("W8A8",), False), (("W8A8", "FP16", "FP16"), True)])
def test_a_plan_that_takes_no_bos_out_changes_nothing(
    table: LayerTable,
    make_plan: Make,
    make_ranges: Make,
    precisions: tuple[str, ...],
    bos_aware: bool,
) -> None:
    model = ir.from_onnx_text(_TEXT)
    plan = make_plan(table, *precisions, bos_aware=bos_aware)
    # Not constant, and nobody cares.
    assert not PrecomputeBosPass(plan, table, make_ranges(table, bos_change=1.0))(model).modified
    assert [node.op_type for node in model.graph] == ["MatMul"] * 3 + ["Identity"] * 3


def _refused(table: LayerTable, plan: PrecisionPlan, ranges: RangeTable, text: str = _TEXT) -> Exception:
    step = PrecomputeBosPass(plan, table, ranges)
    with pytest.raises((ModelError, GraphFormError)) as refused:
        apply(ir.passes.Sequential(step), ir.from_onnx_text(text))
    return refused.value


def test_a_bos_row_that_changes_is_refused(table: LayerTable, make_plan: Make, make_ranges: Make) -> None:
    ranges = make_ranges(table, bos=_BOS, bos_change=0.1)
    assert "changes with the prompt" in str(_refused(table, make_plan(table, "W8A8"), ranges))


def test_a_bos_row_of_another_width_is_refused(table: LayerTable, make_plan: Make, make_ranges: Make) -> None:
    fault = _refused(table, make_plan(table, "W8A8"), make_ranges(table, bos=(1, 2)))
    assert str(fault) == "the BOS row has 2 values, a.attn2.to_k reads 3"


def test_a_layer_that_reads_something_else_is_refused(
    table: LayerTable, make_plan: Make, make_ranges: Make
) -> None:
    text = _TEXT.replace("MatMul (encoder_hidden_states, wk)", "MatMul (image, wk)")
    fault = _refused(table, make_plan(table, "W8A8"), make_ranges(table, bos=_BOS), text)
    assert "a.attn2.to_k reads image, not encoder_hidden_states" in str(fault)


def test_a_missing_node_is_refused(table: LayerTable, make_plan: Make, make_ranges: Make) -> None:
    text = _TEXT.replace('"a.attn2.to_k"', "other")
    fault = _refused(table, make_plan(table, "W8A8"), make_ranges(table, bos=_BOS), text)
    assert "no node named a.attn2.to_k; export the model again" in str(fault)


def test_a_second_run_is_refused(table: LayerTable, make_plan: Make, make_ranges: Make) -> None:
    model = ir.from_onnx_text(_TEXT)
    step = PrecomputeBosPass(make_plan(table, "W8A8"), table, make_ranges(table, bos=_BOS))
    step(model)
    with pytest.raises(GraphFormError, match="the pass ran before"):
        apply(ir.passes.Sequential(step), model)
