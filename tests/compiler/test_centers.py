"""Clipping and centres from the command line to graphs, engines and their comparison with the simulation."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable
from pathlib import Path

import onnx_ir as ir
import pytest

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.tensorrt_builder import build_tensorrt
from mixdq.compiler.worker import run_in_child
from mixdq.configs.bundle import TensorSpec
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.quantizing import Activations, Clipping
from mixdq.configs.target import Target
from mixdq.passes.center_activations import nodes_of_centers

Command = Callable[..., subprocess.CompletedProcess[str]]
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT for RTX is not installed"
)
GRAPH = "onnx/tensorrt/unet-64.onnx"


@needs_rtx
def test_clipping_and_centres_are_compiled_as_asked_and_made_again_when_they_change(
    tiny_run: Path, tiny_model: Path, mixdq_compile: Command, tmp_path: Path
) -> None:
    run = ("quantize", tiny_model, "--out", tmp_path, "--uniform", "--target", "rtx:sm89", "--resolution", 64)
    given = ("--work", tiny_run / "work", "--ranges", tiny_run / "ranges.json")
    padded = ("--weight-clipping", "mse", "--activations", "centered-padded")
    done = mixdq_compile(*run, *given, *padded)
    assert done.returncode == 0, done.stderr
    assert "weight clipping mse, activations centered-padded" in done.stdout
    plan = PrecisionPlan.read(tmp_path / "plan.yaml")
    assert (plan.weight_clipping, plan.activations) == (Clipping.MSE, Activations.CENTERED_PADDED)
    graph = ir.load(tmp_path / GRAPH).graph
    found = nodes_of_centers(graph)
    assert min(found.values()) > 0
    table = LayerTable.read(tmp_path / "layers.json")
    quantized = sum(precision.quantizes_activation for precision in plan.layers.values())
    assert 0 < found["Pad"] < found["Sub"] <= quantized + sum(layer.split is not None for layer in table)

    engine = tmp_path / "unet.engine"
    inputs = tuple(
        TensorSpec(str(v.name), str(v.dtype.numpy()), tuple(v.shape.numpy()))
        for v in graph.inputs
        if v.dtype is not None and v.shape is not None
    )
    options = BuildOptions(timing_cache=None, strip_weights=False)
    run_in_child(build_tensorrt, Target.parse("rtx:sm89"), tmp_path / GRAPH, engine, inputs, (), options)
    assert engine.stat().st_size > 0

    before = (tmp_path / GRAPH).read_bytes()
    again = mixdq_compile(*run, *given, *padded)
    assert "graphs unet" not in again.stdout + again.stderr
    other = mixdq_compile(*run, *given, "--weight-clipping", "mse")
    assert other.returncode == 0, other.stderr
    assert not any(nodes_of_centers(ir.load(tmp_path / GRAPH).graph).values())
    assert (tmp_path / GRAPH).read_bytes() != before
    assert PrecisionPlan.read(tmp_path / "plan.yaml").activations is Activations.PLAIN


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--activations", "centered"),
            "centered activations are for targets that refuse zero points, and cpu",
        ),
        (("--weight-clipping", "percentile"), "'percentile' is not one of 'minmax', 'mse'"),
        (
            ("--weight-bits", 16, "--activation-bits", 16, "--weight-clipping", "mse"),
            "this plan quantizes none",
        ),
    ],
)
def test_what_would_change_nothing_is_refused(
    tiny_model: Path, mixdq_compile: Command, tmp_path: Path, options: tuple[object, ...], words: str
) -> None:
    done = mixdq_compile("quantize", tiny_model, "--out", tmp_path / "out", *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "out").exists()
