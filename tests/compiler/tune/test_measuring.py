"""Hand-made networks as engines in ONNX Runtime: two layers, `a` a matrix product and `b` another."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

from mixdq.compiler.tune.cases import Cases
from mixdq.compiler.tune.clipping import find_clipping
from mixdq.compiler.tune.engines import EngineFile
from mixdq.compiler.tune.instrument import Runs
from mixdq.compiler.tune.measuring import MeasureOrder, measure
from mixdq.compiler.tune.ort_instrument import OrtInstrument
from mixdq.compiler.tune.paired import least_runs
from mixdq.configs.bundle import TensorSpec
from mixdq.configs.errors import EvaluationError
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.shipped_search import shipped_layers

SIDE = 4
A, B = LayerName("down_blocks.1.attentions.0.proj_in"), LayerName("down_blocks.1.attentions.0.proj_out")
_HEADER = '<ir_version: 10, opset_import: ["" : 20]>'
_EYE = ",".join("1" if row == column else "0" for row in range(4) for column in range(4))


def _unet(a_input: str, weight: str = _EYE) -> onnx.ModelProto:
    """noise = sample times two matrices; `a_input` quantizes the input of `a` or leaves it."""
    tensor = f"float[1,4,{SIDE},{SIDE}]"
    model = parse_model(f"""{_HEADER} unet ({tensor} sample) => ({tensor} noise_prediction)
    <float[4,4] "{A}.weight" = {{{weight}}}, float[4,4] "{B}.weight" = {{{_EYE}}},
     float s = {{0.01}}, uint8 z = {{100}}> {{
        [one] shaped = Identity (sample)
        {a_input}
        [a] first = MatMul (x, "{A}.weight")
        [b] noise_prediction = MatMul (first, "{B}.weight")
    }}""")
    for node in model.graph.node:
        node.name = {"a": A, "b": B, "q": f"{A}.input.quantized", "d": f"{A}.input.dequantized"}.get(
            node.name, node.name
        )
    return model


QUANTIZED = "[q] q = QuantizeLinear (shaped, s, z)  [d] x = DequantizeLinear (q, s, z)"
PLAIN = "[x] x = Identity (shaped)"
DECODER = f"""{_HEADER} vae (float[1,4,{SIDE},{SIDE}] latents) => (float[1,3,{SIDE},{SIDE}] images)
<int64[3] rgb = {{0, 1, 2}}> {{ images = Gather <axis=1> (latents, rgb) }}"""


def _engine(path: Path, model: onnx.ModelProto, given: str, output: str) -> EngineFile:
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    shapes = {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in model.graph.output
    }
    return EngineFile(
        path,
        path,
        (TensorSpec(given, "float32", (1, 4, SIDE, SIDE)),),
        (TensorSpec(output, "float32", shapes[output]),),
        {path.name: "0" * 64},
    )


@pytest.fixture(scope="module")
def table() -> LayerTable:
    """The two layers, and no others."""
    shipped = shipped_layers("emoji-turbo")
    assert shipped is not None
    whole = LayerTable.read(shipped)
    return LayerTable(whole.model, tuple(layer for layer in whole if layer.name in (A, B)))


def _order(folder: Path, table: LayerTable, sample: float, **unet: str) -> MeasureOrder:
    random = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 1, 4, SIDE, SIDE)).astype(np.float32)
    random[0, 0, 0, 0, 0] = sample
    return MeasureOrder(
        full=_engine(folder / "full.onnx", _unet(PLAIN), "sample", "noise_prediction"),
        candidate=_engine(folder / "some.onnx", _unet(**unet), "sample", "noise_prediction"),
        decoder=_engine(folder / "vae.onnx", parse_model(DECODER), "latents", "images"),
        cases=Cases(tuple({"sample": batch} for batch in random), tuple(np.zeros_like(random)), 1.0, 1.0),
        table=table,
        runs=Runs(1, least_runs(len(table))),
        instrument=OrtInstrument(1),
    )


def _ignore(phase: str, done: int, total: int | None) -> None:
    """Reports nothing."""


def test_every_layer_has_a_time_and_pictures_are_compared(tmp_path: Path, table: LayerTable) -> None:
    order = _order(tmp_path, table, 0.5, a_input=QUANTIZED)
    times, outputs = measure(_ignore, order)
    assert set(times.layers) == {A, B}
    assert all(layer.full.median_us >= 0 for layer in times.layers.values())
    assert times.whole.full.median_us > 0
    assert outputs.finite
    assert outputs.psnr_db is not None
    # Values of -0.9 to 0.9 in steps of 0.01 are rounded by at most half of one, pictures by half of that:
    # uniform errors have the mean square (step / 2)^2 / 12.
    assert outputs.psnr_db == pytest.approx(-10 * math.log10(0.005**2 / 12), abs=0.5)
    assert (outputs.ends, outputs.clipped, outputs.broken) == (0.0, {}, ())


def test_what_a_layer_clips_is_counted_beyond_half_a_step(tmp_path: Path, table: LayerTable) -> None:
    # The range is -1.00 to 1.55; one value of 128 is beyond it, or rounded onto its end.
    clipped = measure(_ignore, _order(tmp_path, table, 1.56, a_input=QUANTIZED))[1].clipped
    assert clipped == {A: pytest.approx(1 / 128)}
    assert not measure(_ignore, _order(tmp_path, table, 1.554, a_input=QUANTIZED))[1].clipped


def test_nan_that_a_quantizer_hides_is_found_and_its_layer_named(tmp_path: Path, table: LayerTable) -> None:
    # The square root of negative numbers; behind the quantizer nothing shows it.
    broken = QUANTIZED.replace("shaped", "root")
    order = _order(tmp_path, table, 0.5, a_input=f"[root] root = Sqrt (shaped) {broken}")
    outputs = measure(_ignore, order)[1]
    assert (outputs.finite, outputs.psnr_db, outputs.broken) == (False, None, (A,))


def test_black_pictures_show_in_the_share_of_their_ends(tmp_path: Path, table: LayerTable) -> None:
    far = _EYE.replace("1", "1000")
    outputs = measure(_ignore, _order(tmp_path, table, 0.5, a_input=QUANTIZED, weight=far))[1]
    assert outputs.full_ends == 0.0
    assert outputs.ends > 0.95


def test_full_precision_that_is_not_finite_is_an_error(tmp_path: Path, table: LayerTable) -> None:
    with pytest.raises(EvaluationError, match="full precision itself gives NaN or infinity"):
        measure(_ignore, _order(tmp_path, table, math.inf, a_input=QUANTIZED))


def test_a_graph_without_quantized_activations_clips_nothing(tmp_path: Path, table: LayerTable) -> None:
    engine = _engine(tmp_path / "plain.onnx", _unet(PLAIN), "sample", "noise_prediction")
    found = find_clipping(engine.graph, table, [{"sample": np.zeros((1, 4, SIDE, SIDE), np.float32)}])
    assert (found.clipped, found.broken) == ({}, ())


def test_nan_of_the_prediction_is_found(tmp_path: Path, table: LayerTable) -> None:
    late = QUANTIZED.replace("x =", "y =") + " [x] x = Sqrt (y)"
    outputs = measure(_ignore, _order(tmp_path, table, 0.5, a_input=late))[1]
    assert (outputs.finite, outputs.psnr_db, outputs.broken) == (False, None, ())


def test_clipping_that_onnx_runtime_cannot_count_is_said(tmp_path: Path, table: LayerTable) -> None:
    # Valid ONNX, for which ONNX Runtime has no kernel on the CPU.
    model = _unet(QUANTIZED)
    model.graph.node[0].op_type, model.graph.node[0].domain = "NoSuchKernel", "nowhere"
    model.opset_import.append(onnx.helper.make_opsetid("nowhere", 1))
    (tmp_path / "some.onnx").write_bytes(model.SerializeToString())
    found = find_clipping(tmp_path / "some.onnx", table, [])
    assert (found.clipped, found.broken) == ({}, ())
    assert "NoSuchKernel" in found.uncounted
