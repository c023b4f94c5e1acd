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
from mixdq.compiler.legal.probe_graphs import Shape, probe_graph
from mixdq.configs.capability import Capability, Entry, Source, SourceKind, shipped_capabilities
from mixdq.configs.errors import TargetError
from mixdq.configs.form import Form
from mixdq.configs.gpu import find_gpu
from mixdq.configs.layers import Kind

TABLES = {table.backend: table for table in shipped_capabilities()}
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT for RTX is not installed"
)


def silent(phase: str, done: int, total: int | None) -> None:
    pass


def _unlike(capabilities: Sequence[Capability]) -> list[str]:
    """What the builder says otherwise than the shipped table, verdict or reason."""
    found = list(probe(capabilities, silent))
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
    (fine,) = probe([_table_of("int8:channel/float", legal=True)], silent)
    assert not fine.differs
    (refusing,) = probe([_table_of("int8:channel/float", legal=False)], silent)
    assert refusing.differs
    assert str(refusing) == "cpu int8:channel/float GEMM: shipped as refused, the builder takes it"
    (taking,) = probe([_table_of("fp8:tensor/fp8", legal=True)], silent)
    assert taking.differs
    assert "shipped as legal, the builder refuses it: ONNX Runtime refused probe.onnx: " in str(taking)


def test_a_builder_that_dies_has_refused_and_the_next_graph_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(probing, "try_graph", importlib.import_module("dying_builder").try_graph)
    table = replace(TABLES["cpu"], entries=TABLES["cpu"].entries[:1])
    found = {finding.shape: finding for finding in probe([Capability(table, None)], silent)}
    assert [shape for shape, finding in found.items() if finding.taken] == [Shape.GEMM, Shape.CONVOLUTION_1X1]
    assert "was ended by SIGKILL" in found[Shape.CONVOLUTION_3X3].message


def test_progress_counts_the_graphs() -> None:
    seen: list[tuple[str, int, int | None]] = []
    list(probe([_table_of("float/float", legal=True)], lambda *words: seen.append(words)))
    assert seen == [("cpu", 0, 1)]


def test_what_can_not_be_asked_is_said() -> None:
    with pytest.raises(TargetError, match="CUDA kernels of mixdq are planned and not built"):
        probeable(TABLES["cuda"], 80)
    if find_gpu() is None:
        with pytest.raises(TargetError, match="TensorRT"):
            probeable(TABLES["tensorrt"], None)


@pytest.mark.parametrize("shape", list(Shape))
@pytest.mark.parametrize("text", sorted({str(e.form) for table in TABLES.values() for e in table.entries}))
def test_probe_graphs_are_valid_onnx_whose_weights_are_as_the_form_says(shape: Shape, text: str) -> None:
    form = Form.parse(text)
    model = probe_graph(shape, form, "float32")
    onnx.checker.check_model(model, full_check=True)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    weight = constants["w" if form.weight == "float" else "w.quantized"]
    assert tuple(weight.dims) == shape.weight
    if form.granularity.block is not None:
        scale = numpy_helper.to_array(constants["w.scale"])
        assert np.prod(shape.weight) == scale.size * form.granularity.block
