from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from mixdq.configs.errors import MixdqError
from mixdq.configs.quantizer import FloatArray, Grid, IntArray
from mixdq.configs.quantizing import Activations
from mixdq.configs.sqnr import sqnr_db
from mixdq.configs.target import Dialect
from mixdq.passes.deviations import deviations
from mixdq.passes.errors import GraphFormError
from mixdq.passes.pipeline import apply, component_pipeline, resolution_pipeline, unet_pipeline

Make = Callable[..., Any]

_SHORTCUT = "up_blocks.0.resnets.0.conv_shortcut"
_SHAPES = {"a.attn2.to_k": (2, 3), "conv_out": (1, 2, 1, 1), _SHORTCUT: (2, 3, 1, 1)}
_TEXT = f"""<ir_version: 10, opset_import: ["" : 21]>
unet (float[1,4,3] encoder_hidden_states, float[1,2,"2*h","2*w"] p, float[1,1,"2*h","2*w"] q)
  => (float[1,4,2] k, float[1,1,"2*h","2*w"] noise)
<float[3,2] val_1 = {{0.1, 0.7, -0.3, 1.1, 2.3, -0.9}}, float[2,3,1,1] val_2 = {{1, -2, 3, 4, 5, -6}},
 float[2] val_3 = {{1, 2}}, float[1,2,1,1] val_4 = {{0.5, -0.25}},
 float[1,4,2] rows, float[1,3,"2*h","2*w"] both, float[1,2,"2*h","2*w"] short> {{
    ["a.attn2.to_k"] rows = MatMul (encoder_hidden_states, val_1)
    k = Identity (rows)
    both = Concat <axis = 1> (p, q)
    ["{_SHORTCUT}"] short = Conv (both, val_2, val_3)
    ["conv_out"] noise = Conv (short, val_4)
}}"""
_BOS = (800.0, 1.0, -2.0)


def _half() -> ir.Model:
    """The model in FP16, as it is exported."""
    model = ir.from_onnx_text(_TEXT)
    made = (value for node in model.graph for value in node.outputs)
    for value in (*model.graph.inputs, *made, *model.graph.initializers.values()):
        value.dtype = ir.DataType.FLOAT16
        if value.const_value is not None:
            value.const_value = ir.tensor(value.const_value.numpy().astype(np.float16), name=value.name)
    return model


def _feeds(height: int, width: int) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    text = draw.uniform(-1, 1, (1, 4, 3)).astype(np.float32)
    text[:, 0] = _BOS
    p = draw.uniform(-1, 1, (1, 2, height, width)).astype(np.float32)
    q = 20 * draw.uniform(-1, 1, (1, 1, height, width)).astype(np.float32)
    return {"encoder_hidden_states": text, "p": p, "q": q}


def test_the_whole_pipeline_quantizes_as_planned_at_every_size(
    make_table: Make, make_plan: Make, make_ranges: Make, run_graph: Make
) -> None:
    table = make_table(_SHAPES, conv_shortcut=2)
    others = {_SHORTCUT: ((-1, 1), (-20, 20)), "conv_out": ((-140, 140),)}
    ranges = make_ranges(table, (-1, 1), others, bos=_BOS)
    for height, width in ((2, 4), (6, 2)):
        model = ir.from_onnx_text(_TEXT)
        expected = run_graph(model, _feeds(height, width))
        apply(unet_pipeline(make_plan(table, "W8A8"), table, ranges, Dialect.ORT), model)
        assert [node.op_type for node in model.graph].count("QuantizeLinear") == 4
        sizes: dict[str, tuple[int, ...]] = {"p": (1, 2, height, width), "q": (1, 1, height, width)}
        apply(resolution_pipeline(sizes), model)
        assert list(model.graph.outputs[1].shape or ()) == [1, 1, height, width]
        for found, wanted in zip(run_graph(model, _feeds(height, width)), expected, strict=True):
            error = np.abs(found - wanted).max() / np.abs(wanted).max()
            assert error < 0.02


def test_centered_activations_are_the_asymmetric_ones_of_other_targets(
    make_table: Make, make_plan: Make, make_ranges: Make, run_graph: Make
) -> None:
    """With BOS constants and halves of a shortcut; the graph is FP16, its input that of the FP32 one."""
    table = make_table(_SHAPES, conv_shortcut=2)
    others = {_SHORTCUT: ((-0.3, 1), (-20, 5)), "conv_out": ((-140, 90),)}
    ranges = make_ranges(table, (-0.2, 1), others, bos=_BOS)
    feeds = _feeds(2, 4)
    outputs = {}
    for dialect, activations in (
        (Dialect.ORT, Activations.PLAIN),
        (Dialect.TENSORRT, Activations.CENTERED),
        (Dialect.TENSORRT, Activations.PLAIN),
    ):
        model = ir.from_onnx_text(_TEXT) if dialect is Dialect.ORT else _half()
        plan = replace(make_plan(table, "W8A8"), activations=activations)
        apply(unet_pipeline(plan, table, ranges, dialect), model)
        apply(resolution_pipeline({"p": (1, 2, 2, 4), "q": (1, 1, 2, 4)}), model)
        typed = {name: array.astype(dialect.float_type) for name, array in feeds.items()}
        outputs[dialect, activations] = [one.astype(np.float32) for one in run_graph(model, typed)]
    asymmetric, centered, symmetric = outputs.values()
    for index in (0, 1):
        # The product of token 0 is the same constant in all of them.
        parts = [found[index][:, 1:] if index == 0 else found[index] for found in (asymmetric, centered)]
        assert sqnr_db(parts[1], parts[0]) > 40
    assert sqnr_db(symmetric[1], asymmetric[1]) < 40


def test_integers_that_were_found_elsewhere_go_through_the_whole_pipeline(
    make_table: Make, make_plan: Make, make_ranges: Make
) -> None:
    """As those of a training that knows of the quantizer, by layer; halves of a shortcut have their names."""
    found = {f"{_SHORTCUT}.0": 3, f"{_SHORTCUT}.1": -4, "a.attn2.to_k": 1, "conv_out": 7}

    def trained(layer: str, weight: FloatArray, scales: FloatArray, grid: Grid) -> IntArray:
        return np.full(weight.shape, found[layer], grid.dtype)

    table = make_table(_SHAPES, conv_shortcut=2)
    plan, ranges = make_plan(table, "W4A8"), make_ranges(table, (-1, 1), bos=_BOS)
    model = ir.from_onnx_text(_TEXT)
    apply(unet_pipeline(plan, table, ranges, Dialect.ORT, trained), model)
    for layer, number in found.items():
        constant = model.graph.initializers[f"{layer}.weight.quantized"].const_value
        assert constant is not None
        assert set(constant.numpy().ravel().tolist()) == {number}


@pytest.mark.parametrize(("asked", "made"), [("centered", "plain"), ("plain", "centered")])
def test_a_graph_whose_centres_are_not_as_planned_is_refused(
    make_table: Make, make_plan: Make, make_ranges: Make, asked: str, made: str
) -> None:
    table = make_table(_SHAPES, conv_shortcut=2)
    plan, ranges = make_plan(table, "W8A8"), make_ranges(table, (-0.2, 1), bos=_BOS)
    asking, making = (replace(plan, activations=Activations(name)) for name in (asked, made))
    model = _half()
    apply(unet_pipeline(making, table, ranges, Dialect.TENSORRT), model)
    found = [each.what for each in deviations(model.graph, asking, table, Dialect.TENSORRT)]
    word = "not " if asked == "centered" else ""
    assert f"the activation of conv_out is {word}about its centre" in found
    assert len(found) == 4  # the shortcut has two halves
    assert not list(deviations(model.graph, making, table, Dialect.TENSORRT))


def test_a_floating_point_plan_needs_no_ranges(make_table: Make, make_plan: Make, run_graph: Make) -> None:
    table, model = make_table(_SHAPES, conv_shortcut=2), ir.from_onnx_text(_TEXT)
    expected = run_graph(model, _feeds(2, 2))
    apply(unet_pipeline(make_plan(table, "FP16"), table, None, Dialect.ORT), model)
    for found, wanted in zip(run_graph(model, _feeds(2, 2)), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_quantized_plan_without_ranges_is_refused(make_table: Make, make_plan: Make) -> None:
    table = make_table(_SHAPES, conv_shortcut=2)
    plan = make_plan(table, "W8A8", split_shortcuts=False, bos_aware=False)
    with pytest.raises(GraphFormError, match=r"the weight of a\.attn2\.to_k is not quantized"):
        apply(unet_pipeline(plan, table, None, Dialect.ORT), ir.from_onnx_text(_TEXT))


def test_only_onnx_runtimes_components_are_widened() -> None:
    for dialect, dtype in ((Dialect.ORT, ir.DataType.FLOAT), (Dialect.TENSORRT, ir.DataType.FLOAT16)):
        model = ir.from_onnx_text(
            '<ir_version: 10, opset_import: ["" : 20]> g (float16[1] x) => (float16[1] y) { y = Neg (x) }'
        )
        apply(component_pipeline(dialect), model)
        assert model.graph.inputs[0].dtype is dtype


class _FaultyPass(ir.passes.InPlacePass):
    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        raise self.fault


def test_an_error_of_ours_comes_out_of_the_pipeline_as_itself() -> None:
    fault = MixdqError("expected this, found that")
    nested = ir.passes.Sequential(ir.passes.Sequential(_FaultyPass(fault)))
    with pytest.raises(MixdqError) as refused:
        apply(nested, ir.from_onnx_text(_TEXT))
    assert refused.value is fault


def test_a_defect_keeps_onnx_irs_account_of_where_it_happened() -> None:
    with pytest.raises(ir.passes.PassError) as failed:
        apply(ir.passes.Sequential(_FaultyPass(ZeroDivisionError("a defect"))), ir.from_onnx_text(_TEXT))
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
