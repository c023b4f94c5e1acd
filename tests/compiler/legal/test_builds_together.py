from __future__ import annotations

import importlib
import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from mixdq.compiler import cli_targets
from mixdq.compiler.cli import main
from mixdq.compiler.legal import probe_together as asking
from mixdq.compiler.legal.joint_graph import write_joint_graph
from mixdq.compiler.legal.probe import try_graph
from mixdq.compiler.legal.probe_graphs import TINY_LAYERS, ProbeLayer, distinct_layers, probe_graph
from mixdq.compiler.legal.probe_together import legal_parts, probe_together
from mixdq.compiler.worker import run_in_child
from mixdq.configs.capability import BackendTable, find_capability
from mixdq.configs.form import Form
from mixdq.configs.layers import LayerTable
from mixdq.configs.target import Target

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT for RTX is not installed"
)


def silent(phase: str, done: int, total: int | None) -> None:
    pass


def _command(*words: object) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def _wrongly_legal(form: str) -> BackendTable:
    """RTX SM89 alone, as if it took one form more."""
    table = find_capability("rtx:sm89").table
    entries = tuple(
        replace(entry, legal=str(entry.form) == form or entry.takes(89), refused={"it was told so": ()})
        for entry in table.entries
    )
    return replace(table, capabilities=(89,), entries=entries)


@needs_rtx
def test_every_legal_form_of_a_models_layers_builds_in_one_graph(
    layers: LayerTable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers.write(tmp_path / "layers.json")
    words = ("targets", "rtx", "--probe", "--layers", tmp_path / "layers.json", "--together", "--json")
    assert _command(*words) == 0
    found = {record["target"]: record for record in json.loads(capsys.readouterr().out)}
    # Four forms of eight layers; INT4 a channel of three convolutions and, twice, of four linear layers, the
    # fifth of which is odd; seven whose inputs blocks divide; two of FP8.
    of_sm75, of_sm80, of_sm89 = 4 * 8, 4 * 8 + 3 + 2 * 4 + 7, 4 * 8 + 3 + 2 * 4 + 7 + 2 * 8
    assert {target: record["layers"] for target, record in found.items()} == {
        "rtx:sm75": of_sm75,
        "rtx:sm80": of_sm80,
        "rtx:sm86": of_sm80,
        "rtx:sm89": of_sm89,
        "rtx:sm120": of_sm89,
        "rtx:sm121": of_sm89,
    }
    assert all(record["taken"] and record["message"] == "" for record in found.values())
    assert all(record["engine_bytes"] > 0 and record["peak_mib"] > 0 for record in found.values())


@needs_rtx
def test_one_form_that_is_refused_refuses_the_graph_and_exits_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = _wrongly_legal("int8:channel/uint8")
    monkeypatch.setattr(cli_targets, "shipped_capabilities", lambda: (table,))
    assert _command("targets", "rtx", "--probe", "--together") == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("rtx:sm89: one graph of 28 layers refused: TensorRT for RTX refused joint.onnx: ")
    assert "(QuantizeLinear)" in line
    assert "Non-zero zero point is not supported" in line


def test_a_builder_that_dies_has_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(asking, "try_together", importlib.import_module("dying_builder").try_together)
    found = probe_together(find_capability("cpu"), TINY_LAYERS, silent)
    assert not found.taken
    assert "was ended by SIGKILL" in found.message
    assert str(found).startswith("cpu: one graph of 40 layers refused: a step's process was ended by SIGKILL")
    assert (found.engine_bytes, found.seconds, found.peak_mib) == (None, None, None)


@needs_rtx
def test_an_odd_number_of_packed_weights_is_refused_and_not_tried(layers: LayerTable) -> None:
    (odd,) = (layer for layer in distinct_layers(layers, 64) if layer.weight_shape == (7, 9))
    verdict = run_in_child(try_graph, Target.parse("rtx:sm89"), odd, Form.parse("int4:channel/float")).value
    assert "Sub-byte quantization with odd tensor volume is not supported" in verdict.said
    forms = [str(form) for _, form in legal_parts(find_capability("rtx:sm89"), [odd])]
    assert forms == [
        "float/float",
        *("int8:channel/float", "int8:channel/int8", "int8:tensor/int8"),
        *("fp8:tensor/fp8", "fp8:channel/fp8"),
    ]


def test_onnx_runtime_is_asked_too_and_an_engine_that_is_the_graph_has_no_size(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _command("targets", "cpu", "--probe", "--together") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("cpu: one graph of 40 layers taken; ")
    assert line.endswith(" MiB")


def test_what_was_not_asked_is_said_as_it_stands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, cuda = find_capability("cpu").table, find_capability("cuda:sm80").table
    tables = (cpu, replace(cuda, product="mixdq[cuda]", built=False))
    monkeypatch.setattr(cli_targets, "shipped_capabilities", lambda: tables)
    assert _command("targets", "--probe", "--together") == 0
    assert "\ncuda was not asked: mixdq[cuda] are planned" in capsys.readouterr().out


def test_together_without_a_probe_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert _command("targets", "cpu", "--together") == 2
    assert "--together says what to build for --probe; give both" in capsys.readouterr().err


def _computed(graph: Path, inputs: dict[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    found: list[npt.NDArray[np.float32]] = session.run(None, inputs)
    return found


def test_each_layer_of_the_one_graph_computes_what_it_computes_alone(
    layers: LayerTable, tmp_path: Path
) -> None:
    parts = legal_parts(find_capability("cpu"), distinct_layers(layers, 64))
    joint = write_joint_graph(parts, "float32", tmp_path / "joint.onnx")
    onnx.checker.check_model(str(joint.path), full_check=True)
    draw = np.random.default_rng(0)
    inputs = {end.name: draw.standard_normal(end.shape, np.float32) for end in joint.inputs}
    together = _computed(joint.path, inputs)
    assert [found.shape for found in together] == [end.shape for end in joint.outputs]
    for number, (layer, form) in enumerate(parts):
        alone = tmp_path / "alone.onnx"
        alone.write_bytes(probe_graph(layer, form, "float32", seed=number).SerializeToString())
        (expected,) = _computed(alone, {"x": inputs[f"{number}.x"]})
        np.testing.assert_array_equal(together[number], expected)


def test_weights_are_beside_the_graph_each_at_a_place_of_its_own(tmp_path: Path) -> None:
    parts: list[tuple[ProbeLayer, Form]] = [(layer, Form.parse("int8:channel/int8")) for layer in TINY_LAYERS]
    joint = write_joint_graph(parts, "float16", tmp_path / "joint.onnx")
    assert joint.path.stat().st_size < 20_000
    assert (tmp_path / "joint.weights").stat().st_size == 128 * 256 + 128 * 128 * 9 + 128 * 128
    loaded = onnx.load(joint.path)
    weights = [tensor.raw_data for tensor in loaded.graph.initializer if tensor.name.endswith(".w.quantized")]
    assert weights == [
        tensor.raw_data
        for number, (layer, form) in enumerate(parts)
        for tensor in probe_graph(layer, form, "float16", seed=number).graph.initializer
        if tensor.name == "w.quantized"
    ]
