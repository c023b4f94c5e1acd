"""The inspector's JSON is TensorRT's documented form; no machine of these tests opens an engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mixdq.compiler.lint.engine_layers import engine_layers
from mixdq.compiler.lint.subject import Planned
from mixdq.compiler.lint.tensorrt_layers import judge
from mixdq.configs.bundle import Bundle
from mixdq.configs.gpu import find_gpu

INT8 = "Thirty-two wide channel vectorized row major Int8 format"
HALF = "Row major linear FP16 format"


def _layer(name: str, kind: str, *formats: str, metadata: str = "") -> dict[str, Any]:
    inputs = [{"Name": f"t{i}", "Format/Datatype": text} for i, text in enumerate(formats)]
    return {"Name": name, "LayerType": kind, "Inputs": inputs, "Outputs": [], "Metadata": metadata}


@pytest.fixture
def plan(planned: Callable[..., Planned]) -> Planned:
    return planned(**{"a.to_q": "W8A8", "a.to_k": "W8A8", "kept": "W8A16"})


def _judged(plan: Planned, *layers: Any) -> tuple[str, list[str]]:
    found = judge("unet.engine", "tensorrt", json.dumps({"Layers": layers, "Bindings": []}), plan)
    return found.said, [finding.where for finding in found.findings]


def test_a_planned_layer_that_takes_half_floats_is_found(plan: Planned) -> None:
    said, found = _judged(
        plan,
        _layer("a.to_q + PWN(silu)", "CaskGemmMatrixMultiply", HALF),
        _layer("gemm_7", "CaskGemmMatrixMultiply", INT8, metadata="[ONNX Layer: a.to_k]"),
        _layer("kept", "CaskGemmMatrixMultiply", HALF),
    )
    assert found == ["a.to_q"]
    assert said == "3 layers; 1 of 2 planned to be quantized take floating point"


@pytest.mark.parametrize(
    "layer",
    [
        _layer("a.to_q", "gemm", HALF, INT8),
        _layer("a.to_q", "gemm", "Row major linear FP8 format"),
        _layer(
            "fused", "kgen", HALF, metadata="[ONNX Layer: a.to_q.input.quantized]\x1e[ONNX Layer: a.to_q]"
        ),
        _layer("b.a.to_q_1", "gemm", HALF),
        _layer("Reformatting a.to_q.input.scale", "Reformat", HALF),
    ],
    ids=["one integer input", "FP8", "quantizes inside", "another's name", "its scale"],
)
def test_what_computes_in_integers_or_is_not_known_passes(plan: Planned, layer: Any) -> None:
    assert _judged(plan, layer)[1] == []


def test_layers_that_are_only_named_decide_nothing(plan: Planned) -> None:
    said, found = _judged(plan, "a.to_q", "a.to_k")
    assert (said, found) == ("2 layers, named alone: built without detailed layer information", [])


@pytest.mark.parametrize("answer", ["", "[]", '{"Bindings": []}'])
def test_an_answer_without_layers_is_said(plan: Planned, answer: str) -> None:
    found = judge("unet.engine", "tensorrt", answer, plan)
    assert not found.read
    assert found.said.startswith("layers not read: the inspector's answer has no layers")


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_without_a_gpu_it_is_said_why_an_engine_was_not_read(folder: Any, plan: Planned) -> None:
    (found,) = engine_layers(folder.root, Bundle.read(folder.root), plan, kernels=False)
    assert (found.engine, found.target, found.read) == ("engines/unet-16.rtx-sm89.engine", "rtx:sm89", False)
    assert "opens an engine only on an NVIDIA GPU" in found.said or "is not installed" in found.said


def test_packages_of_the_cuda_back_end_are_not_read(folder: Any, plan: Planned) -> None:
    bundle = Bundle.read(folder.root)
    engines = tuple(replace(engine, target="cuda:sm90") for engine in bundle.engines)
    (found,) = engine_layers(folder.root, replace(bundle, engines=engines), plan, kernels=False)
    assert not found.read
    assert "a package is machine code" in found.said
