from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from mixdq.configs.layers import LayerTable
from mixdq.passes.errors import GraphFormError
from mixdq.passes.split_shortcuts import SplitShortcutsPass

Make = Callable[..., Any]

_NAME = "up_blocks.0.resnets.0.conv_shortcut"
_WEIGHT = ", ".join(str(number * 7 % 11 - 5.5) for number in range(54))
_TEXT = f"""<ir_version: 10, opset_import: ["" : 20]>
g (float[1,2,5,5] a, float[1,1,5,5] b) => (float[1,2,3,3] y)
<float[2,3,3,3] w = {{{_WEIGHT}}}, float[2] bias = {{100, -50}}> {{
    x = Concat <axis = 1> (a, b)
    ["{_NAME}"] y = Conv <pads = [1,1,1,1], strides = [2,2]> (x, w, bias)
}}"""


@pytest.fixture
def table(make_table: Make) -> LayerTable:
    table: LayerTable = make_table({_NAME: (2, 3, 3, 3)}, conv_shortcut=2)
    return table


def _feeds() -> dict[str, Any]:
    draw = np.random.default_rng(0)
    return {
        "a": draw.normal(size=(1, 2, 5, 5)).astype(np.float32),
        "b": 30 * draw.normal(size=(1, 1, 5, 5)).astype(np.float32),
    }


@pytest.mark.parametrize("text", [_TEXT, _TEXT.replace("(x, w, bias)", "(x, w)")], ids=["bias", "no bias"])
def test_the_two_halves_add_up_to_the_whole(
    table: LayerTable, make_plan: Make, run_graph: Make, text: str
) -> None:
    model = ir.from_onnx_text(text)
    (expected,) = run_graph(model, _feeds())
    assert SplitShortcutsPass(make_plan(table, "W8A8"), table)(model).modified
    (found,) = run_graph(model, _feeds())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
    parts = [node for node in model.graph if node.op_type == "Conv"]
    assert [node.name for node in parts] == [f"{_NAME}.0", f"{_NAME}.1"]
    assert [len(node.inputs) for node in parts] == ([3, 2] if "bias)" in text else [2, 2])


def test_the_weight_is_divided_and_the_whole_one_gone(table: LayerTable, make_plan: Make) -> None:
    model = ir.from_onnx_text(_TEXT)
    SplitShortcutsPass(make_plan(table, "W8A8"), table)(model)
    shapes = {name: tuple(value.shape or ()) for name, value in model.graph.initializers.items()}
    assert shapes == {"bias": (2,), f"{_NAME}.0.weight": (2, 2, 3, 3), f"{_NAME}.1.weight": (2, 1, 3, 3)}


@pytest.mark.parametrize(("precision", "split"), [("FP16", True), ("W8A8", False)])
def test_a_shortcut_that_the_plan_leaves_whole_is_not_modified(
    table: LayerTable, make_plan: Make, precision: str, split: bool
) -> None:
    model = ir.from_onnx_text(_TEXT)
    assert not SplitShortcutsPass(make_plan(table, precision, split_shortcuts=split), table)(model).modified
    assert [node.op_type for node in model.graph] == ["Concat", "Conv"]


def test_a_shortcut_that_adds_no_skip_is_left_alone(make_table: Make, make_plan: Make) -> None:
    whole = make_table({_NAME: (2, 3, 3, 3)})
    assert not SplitShortcutsPass(make_plan(whole, "W8A8"), whole)(ir.from_onnx_text(_TEXT)).modified


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("Concat <axis = 1> (a, b)", "Concat <axis = 1> (a, b, b)", "reads Concat with 3 inputs"),
        ("Concat <axis = 1> (a, b)", "Concat <axis = 1> (b, a)", "has 1 channels, not 2"),
        ("(x, w, bias)", "(a, w, bias)", "reads a graph input"),
        (f'"{_NAME}"', "other", "no node named"),
    ],
)
def test_a_shortcut_of_another_form_is_refused(
    table: LayerTable, make_plan: Make, old: str, new: str, fault: str
) -> None:
    model = ir.from_onnx_text(_TEXT.replace(old, new))
    with pytest.raises(GraphFormError, match=fault):
        SplitShortcutsPass(make_plan(table, "W8A8"), table)(model)


def test_a_taken_name_is_refused(table: LayerTable, make_plan: Make) -> None:
    model = ir.from_onnx_text(_TEXT.replace("> {", ", float[1] taken = {1}> {"))
    model.graph.initializers["taken"].name = f"{_NAME}.1.weight"
    with pytest.raises(GraphFormError, match=r"already has a constant .*\.1\.weight"):
        SplitShortcutsPass(make_plan(table, "W8A8"), table)(model)
