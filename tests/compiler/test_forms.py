"""Legal plans in every form that is written: graphs, their bytes, and engines of TensorRT for RTX."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.graphs import GraphFiles, write_graphs
from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.legalize import legalize
from mixdq.compiler.tensorrt_builder import build_tensorrt
from mixdq.compiler.worker import run_in_child
from mixdq.configs.bundle import Component
from mixdq.configs.capability import find_capability
from mixdq.configs.form import Form
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan, Realization, uniform_plan
from mixdq.configs.precision import Precision
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect, Layout, Target
from mixdq.export.source import open_source

Command = Callable[..., subprocess.CompletedProcess[str]]
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT for RTX is not installed"
)
RTX = "rtx:sm89"


def _table(tiny_run: Path) -> LayerTable:
    return LayerTable.read(tiny_run / "layers.json")


def _wish(table: LayerTable, precision: str) -> PrecisionPlan:
    return uniform_plan(
        table, Precision.parse(precision), keep=(), protect=(), bos_aware=True, split_shortcuts=True
    )


def _legal(table: LayerTable, precision: str, target: str, block: int | None = None) -> PrecisionPlan:
    return legalize(_wish(table, precision), table, Rules(find_capability(target), block, False)).plan


def _mixed(table: LayerTable) -> PrecisionPlan:
    """Every legal form of SM89 in turn."""
    rules, turns = (
        Rules(find_capability(RTX), None, False),
        {kind: count() for kind in ("linear", "convolution")},
    )
    forms = {}
    for layer in table:
        offered = rules.forms(layer)
        forms[layer.name] = offered[next(turns[layer.kind]) % len(offered)]
    layers = {name: form.precision for name, form in forms.items()}
    return replace(_wish(table, "W8A8"), layers=layers, realization=Realization(RTX, forms))


def _write(tiny_run: Path, tiny_model: Path, plan: PrecisionPlan, dialect: Dialect, out: Path) -> GraphFiles:
    from mixdq.configs.model_choice import ModelChoice

    graphs = write_graphs(
        skeleton=tiny_run / "work" / "source" / "unet.onnx",
        reader=open_source(ModelChoice(str(tiny_model))).weights["unet"].open(),
        component=Component.UNET,
        out=out,
        dialect=dialect,
        layout=Layout.PER_RESOLUTION,
        resolutions=(64,),
        batch=1,
        table=_table(tiny_run),
        plan=plan,
        ranges=RangeTable.read(tiny_run / "ranges.json"),
        report=lambda phase, done, total: None,
    )
    return graphs[64]


def _stored(graph: Path) -> Mapping[str, ir.TensorProtocol]:
    model = ir.load(graph)
    return {
        name: value.const_value
        for name, value in model.graph.initializers.items()
        if value.const_value is not None and ".weight." in name
    }


@needs_rtx
def test_a_plan_of_all_forms_is_written_with_the_bytes_it_promises_and_builds(
    tiny_run: Path, tiny_model: Path, tmp_path: Path
) -> None:
    table = _table(tiny_run)
    plan = _mixed(table)
    assert plan.realization is not None
    used = {str(form) for form in plan.realization.forms.values()}
    assert used >= {"int4:channel/float", "int4:channel/int8", "int4:block32/float", "fp8:tensor/fp8"}
    assert used >= {"fp8:channel/fp8", "int8:channel/int8", "int8:channel/float", "float/float"}
    files = _write(tiny_run, tiny_model, plan, Dialect.TENSORRT, tmp_path)

    promised = sum(
        plan.realization.forms[layer.name].bytes(layer, float_bytes=2, parts=2 if plan.splits(layer) else 1)
        for layer in table
        if plan[layer.name].quantizes_weight
    )
    assert sum(tensor.nbytes for tensor in _stored(files.graph).values()) == promised

    engine = tmp_path / "unet.engine"
    options = BuildOptions(timing_cache=None, strip_weights=False)
    run_in_child(build_tensorrt, Target.parse(RTX), files.graph, engine, files.inputs, (), options)
    assert engine.stat().st_size > promised


def test_four_bit_graphs_compute_what_eight_bit_graphs_of_the_same_numbers_do(
    tiny_run: Path, tiny_model: Path, tmp_path: Path
) -> None:
    import onnxruntime

    table = _table(tiny_run)
    plan = _legal(table, "W4A8", "cpu")
    assert plan.realization is not None
    assert {str(form) for form in plan.realization.forms.values()} == {"int4:channel/uint8"}
    packed = _write(tiny_run, tiny_model, plan, Dialect.ORT, tmp_path / "packed")
    # Without a realization the same grids are held in bytes.
    wide = _write(tiny_run, tiny_model, _wish(table, "W4A8"), Dialect.ORT, tmp_path / "wide")
    numbers, held = _stored(packed.graph), _stored(wide.graph)
    assert numbers.keys() == held.keys()
    for name, tensor in numbers.items():
        np.testing.assert_array_equal(tensor.numpy().astype(np.float32), held[name].numpy())
    stored = {name for name in numbers if name.endswith(".quantized")}
    assert sum(numbers[name].nbytes for name in stored) <= 0.51 * sum(held[name].nbytes for name in stored)

    draw = np.random.default_rng(0)
    feeds = {spec.name: draw.standard_normal(spec.shape).astype(spec.dtype) for spec in packed.inputs}
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    outputs = [
        onnxruntime.InferenceSession(files.graph, options, providers=["CPUExecutionProvider"]).run(
            None, feeds
        )[0]
        for files in (packed, wide)
    ]
    np.testing.assert_array_equal(*outputs)
    assert np.isfinite(outputs[0]).all()


@needs_rtx
def test_a_legal_plan_is_compiled_as_it_says_and_for_no_other_target(
    tiny_run: Path, tiny_model: Path, tiny_options: tuple[str, ...], mixdq_compile: Command, tmp_path: Path
) -> None:
    wish, legal, out = tmp_path / "wish.yaml", tmp_path / "legal.yaml", tmp_path / "out"
    _wish(_table(tiny_run), "W3A16").write(wish)
    words = ("--layers", tiny_run / "layers.json", "--target", RTX, "--block", 32, "--out", legal)
    assert mixdq_compile("legalize", wish, *words).returncode == 0
    run = (
        "run",
        tiny_model,
        "--plan",
        legal,
        "--resolution",
        64,
        "--prompt-count",
        2,
        "--work",
        tiny_run / "work",
    )
    refused = mixdq_compile(*run, "--out", out, "--target", "cpu")
    assert refused.returncode == 2
    assert "made legal for rtx:sm89, not for cpu" in refused.stderr
    done = mixdq_compile(*run, "--out", out, "--target", RTX)
    assert done.returncode == 0, done.stderr
    plan = PrecisionPlan.read(out / "plan.yaml")
    assert plan.realization is not None
    assert Form.parse("int4:block32/float") in plan.realization.forms.values()
    found = mixdq_compile("lint", out)
    assert found.returncode == 0, found.stdout + found.stderr
