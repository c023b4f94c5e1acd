from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mixdq.compiler.legal import probe as probing
from mixdq.compiler.legal.probe import probe, probeable
from mixdq.compiler.legal.probe_graphs import TINY_LAYERS, ProbeLayer, distinct_layers, probe_graph
from mixdq.configs.capability import Capability, Entry, Source, SourceKind, shipped_capabilities
from mixdq.configs.errors import TargetError
from mixdq.configs.form import Form
from mixdq.configs.gpu import find_gpu
from mixdq.configs.layers import Kind, LayerName, LayerTable

TABLES = {table.backend: table for table in shipped_capabilities()}
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT for RTX is not installed"
)


def silent(phase: str, done: int, total: int | None) -> None:
    pass


def _unlike(capabilities: Sequence[Capability]) -> list[str]:
    """What the builder says otherwise than the shipped table, verdict or reason."""
    found = list(probe(capabilities, TINY_LAYERS, silent))
    assert {str(finding.capability) for finding in found} == set(map(str, capabilities))
    return [
        str(finding)
        for finding in found
        if finding.differs or finding.entry.reason(finding.capability.sm) not in finding.message
    ]


def _every(step: int) -> list[Capability]:
    """Each entry of TensorRT for RTX on one in so many compute capabilities, another one each."""
    table = TABLES["rtx"]
    return [
        Capability(replace(table, entries=table.entries[number % step :: step]), sm)
        for number, sm in enumerate(table.capabilities)
    ]


@needs_rtx
def test_a_spread_part_of_the_shipped_table_is_what_tensorrt_for_rtx_says() -> None:
    assert _unlike(_every(6)) == []


@needs_rtx
@pytest.mark.full
def test_the_whole_shipped_table_is_what_tensorrt_for_rtx_says() -> None:
    assert _unlike(probeable(TABLES["rtx"], None)) == []


def test_the_shipped_table_is_what_onnxruntime_says() -> None:
    assert _unlike(probeable(TABLES["cpu"], None)) == []


def _table_of(text: str, legal: bool) -> Capability:
    refused = {} if legal else {"it was told so": ()}
    entry = Entry(
        (Kind.LINEAR,), Form.parse(text), legal, Source(SourceKind.PROBED, "a test"), False, refused
    )
    return Capability(replace(TABLES["cpu"], entries=(entry,)), None)


def test_a_table_that_says_something_else_differs() -> None:
    (fine,) = probe([_table_of("int8:channel/float", legal=True)], TINY_LAYERS, silent)
    assert not fine.differs
    (refusing,) = probe([_table_of("int8:channel/float", legal=False)], TINY_LAYERS, silent)
    assert refusing.differs
    assert str(refusing) == "cpu int8:channel/float GEMM: shipped as refused, the builder takes it"
    (taking,) = probe([_table_of("fp8:tensor/fp8", legal=True)], TINY_LAYERS, silent)
    assert taking.differs
    assert "shipped as legal, the builder refuses it: ONNX Runtime refused probe.onnx: " in str(taking)


def test_a_builder_that_dies_has_refused_and_the_next_graph_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(probing, "try_graph", importlib.import_module("dying_builder").try_graph)
    table = replace(TABLES["cpu"], entries=TABLES["cpu"].entries[:1])
    found = {str(one.layer): one for one in probe([Capability(table, None)], TINY_LAYERS, silent)}
    assert [title for title, finding in found.items() if finding.taken] == ["GEMM", "1x1 convolution"]
    assert "was ended by SIGKILL" in found["3x3 convolution"].message


def test_progress_counts_the_graphs() -> None:
    seen: list[tuple[str, int, int | None]] = []
    list(probe([_table_of("float/float", legal=True)], TINY_LAYERS, lambda *words: seen.append(words)))
    assert seen == [("cpu", 0, 1)]


def test_what_can_not_be_asked_is_said() -> None:
    with pytest.raises(TargetError, match="CUDA kernels of mixdq read no graphs"):
        probeable(TABLES["cuda"], 80)
    if find_gpu() is None:
        with pytest.raises(TargetError, match="TensorRT"):
            probeable(TABLES["tensorrt"], None)


@pytest.mark.parametrize("layer", TINY_LAYERS, ids=str)
@pytest.mark.parametrize("text", sorted({str(e.form) for table in TABLES.values() for e in table.entries}))
def test_probe_graphs_are_valid_onnx_whose_weights_are_as_the_form_says(layer: ProbeLayer, text: str) -> None:
    form = Form.parse(text)
    model = probe_graph(layer, form, "float32")
    onnx.checker.check_model(model, full_check=True)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    weight = constants["w" if form.weight == "float" else "w.quantized"]
    assert tuple(weight.dims) == layer.stored_shape
    if form.granularity.block is not None:
        scale = numpy_helper.to_array(constants["w.scale"])
        assert np.prod(layer.weight_shape) == scale.size * form.granularity.block


def test_one_of_each_shape_of_a_models_layers_is_tried_as_it_runs(layers: LayerTable) -> None:
    twice = LayerTable(layers.model, (*layers.layers, replace(layers.layers[1], name=LayerName("again"))))
    found = distinct_layers(twice, 64)
    assert [layer.title for layer in found] == [layer.name for layer in layers]
    assert found[0].tensors == ((1, 4, 8, 8), (1, 8, 8, 8))
    assert found[1].tensors == ((1, 16, 128), (1, 16, 32))
    strided = replace(
        layers.layers[0], name=LayerName("down_blocks.0.downsamplers.0.conv"), macs={64: 16 * 288}
    )
    (made,) = distinct_layers(replace(layers, layers=(strided,)), 64)
    assert made.tensors == ((1, 4, 8, 8), (1, 8, 4, 4))
    assert (made.stride, made.positions) == (2, 16)
    onnx.checker.check_model(probe_graph(made, Form.parse("int8:channel/int8"), "float16"), full_check=True)


def test_only_legal_forms_are_tried_where_that_is_asked() -> None:
    found = list(probe([Capability(TABLES["cpu"], None)], TINY_LAYERS, silent, refused=False))
    assert {str(one.entry.form) for one in found if one.layer.is_linear} == {
        str(entry.form) for entry in TABLES["cpu"].entries if Kind.LINEAR in entry.kinds and entry.legal
    }
    assert all(one.taken for one in found)


def test_forms_whose_blocks_do_not_divide_a_layer_are_not_tried_on_it(layers: LayerTable) -> None:
    capability = _table_of("int4:block64/float", legal=True)
    found = list(probe([capability], distinct_layers(layers, 64), silent))
    linear = [layer.weight_shape[1] for layer in layers if layer.kind is Kind.LINEAR]
    assert [one.layer.weight_shape[1] for one in found] == [size for size in linear if size % 64 == 0]
    assert not any(one.differs for one in found)
