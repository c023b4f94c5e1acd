"""`inspect` on folders and graphs that are small or incomplete."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx.parser import parse_model
from rich.console import Console

from mixdq.compiler.inspect import inspect
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.plan import uniform_plan
from mixdq.configs.precision import Precision
from mixdq.configs.quantizing import Activations, Clipping
from mixdq.configs.ranges import CalibrationRun, Range, RangeTable


def _shown(path: Path) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        for part in inspect(path, timings=False):
            console.print(part, highlight=False)
    return capture.get()


@pytest.fixture
def table() -> LayerTable:
    layer = LayerSpec(LayerName("conv_in"), Kind.CONVOLUTION, (4, 4, 3, 3), True, None, {64: 10})
    return LayerTable(ModelIdentity("tiny", "a" * 64), (layer,))


@pytest.mark.parametrize("folders", [(), ("onnx",), ("onnx/ort",)], ids=["no folder", "empty", "no graph"])
def test_a_folder_without_graphs_yet_shows_its_plan(
    table: LayerTable, tmp_path: Path, folders: tuple[str, ...]
) -> None:
    plan = uniform_plan(table, Precision(8, 8), keep=(), protect=(), bos_aware=True, split_shortcuts=True)
    plan.write(tmp_path / "plan.yaml")
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    assert f"plan {plan.digest[:12]}: 1 layers" in _shown(tmp_path)


def test_clipping_and_centres_are_shown_where_a_plan_chooses_them(table: LayerTable, tmp_path: Path) -> None:
    plain = uniform_plan(table, Precision(8, 8), keep=(), protect=(), bos_aware=True, split_shortcuts=True)
    plan = replace(plain, weight_clipping=Clipping.MSE, activations=Activations.CENTERED)
    for number, each in enumerate((plain, plan)):
        each.write(tmp_path / f"{number}.yaml")
    assert "BOS-aware, split shortcuts\n" in _shown(tmp_path / "0.yaml")
    shown = _shown(tmp_path / "1.yaml")
    assert "split shortcuts, weight clipping mse, activations centered\n" in shown


def test_ranges_with_nothing_measured_for_a_layer_are_shown(table: LayerTable, tmp_path: Path) -> None:
    ranges = RangeTable(
        model=table.model,
        layers_digest=table.digest,
        calibration=CalibrationRun(1, "b" * 64, 0, (64,)),
        bos=(1.0, -2.0),
        bos_change=0.0,
        bos_range=Range(-2, 1),
        layers={LayerName("a.attn2.to_k"): (), LayerName("conv_in"): (Range(-3, 4),)},
    )
    ranges.write(tmp_path / "ranges.json")
    shown = _shown(tmp_path / "ranges.json")
    assert "2 layers, 1 prompts at 64" in shown
    assert "-3.000" in shown


# p: W8A8. m: W8A16. f: FP16. The two halves of a shortcut: W8A8 and W8A16, so W8A16 as a whole.
_QUANTIZED = """<ir_version: 10, opset_import: ["" : 21]>
g (float[2,3] x, float[1,1,2,2] left, float[1,1,2,2] right) => (float[2,2] y, float[1,1,2,2] s)
<int8[3,2] w = {1, 2, 3, 4, 5, 6}, float[2] sw = {0.1, 0.2}, float[2,2] wf = {1, 2, 3, 4},
 int8[1,1,1,1] wh = {1}, float[1] sh = {0.1}, float sx = {0.5}, int8 zx = {0}> {
    qx = QuantizeLinear (x, sx, zx)
    dx = DequantizeLinear (qx, sx, zx)
    dp = DequantizeLinear <axis = 1> (w, sw)
    ["p"] p = MatMul (dx, dp)
    dm = DequantizeLinear <axis = 1> (w, sw)
    ["m"] m = MatMul (x, dm)
    pm = Add (p, m)
    ["f"] f = MatMul (pm, wf)
    ["attention"] y = MatMul (f, pm)
    ql = QuantizeLinear (left, sx, zx)
    dl = DequantizeLinear (ql, sx, zx)
    h0 = DequantizeLinear <axis = 0> (wh, sh)
    h1 = DequantizeLinear <axis = 0> (wh, sh)
    ["up.conv_shortcut.0"] s0 = Conv (dl, h0)
    ["up.conv_shortcut.1"] s1 = Conv (right, h1)
    s = Add (s0, s1)
}"""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("", "", "3 of 4 layers quantized (weights), 1 with quantized input; 0 stray Q/DQ"),
        (
            "MatMul (pm, wf)",
            "MatMul (dx, dp)",
            "4 of 4 layers quantized (weights), 2 with quantized input; 0",
        ),
        ("Conv (right, h1)", "Conv (dl, h1)", "3 of 4 layers quantized (weights), 2 with quantized input; 0"),
        ("Add (p, m)", "Add (p, dp)", "1 with quantized input; 1 stray Q/DQ"),
        ("MatMul (f, pm)", "MatMul (f, dx)", "1 with quantized input; 1 stray Q/DQ"),
    ],
)
def test_the_coverage_of_a_quantized_graph_is_counted(old: str, new: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "unet.onnx"
    onnx.save(parse_model(_QUANTIZED.replace(old, new) if old else _QUANTIZED), path)
    assert line in _shown(path)


def test_a_graph_without_quantization_has_no_line_of_coverage(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]>
    g (float[2,2] x) => (float[2,2] y) <float[2,2] w = {1, 2, 3, 4}> { y = MatMul (x, w) }"""
    onnx.save(parse_model(text), tmp_path / "unet.onnx")
    assert "quantized" not in _shown(tmp_path / "unet.onnx")
