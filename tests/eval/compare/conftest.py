"""emoji-turbo at W8A8 with the graphs of both dialects, sound and with one wrong constant."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx_ir as ir
import pytest

from mixdq.compiler.graphs import write_graphs
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect, Layout
from mixdq.export.source import SourceModel

Change = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
ChangeConstant = Callable[[Path, str, Change, Path], Path]


@pytest.fixture(scope="session")
def change_constant() -> ChangeConstant:
    """Writes a copy of a graph, its constants inside, one of them changed."""

    def change_constant(graph: Path, name: str, change: Change, out: Path) -> Path:
        model = ir.external_data.load_to_model(ir.load(graph))
        constant = model.graph.initializers[name]
        assert constant.const_value is not None
        constant.const_value = ir.tensor(change(constant.const_value.numpy().copy()), name=name)
        ir.save(model, out)
        return out

    return change_constant


@pytest.fixture(scope="session")
def both_dialects(
    emoji: SourceModel, emoji_folder: Path, emoji_w8a8: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bundle with ONNX Runtime's and TensorRT's graphs at 128 pixels, and with rtx:sm89 among its targets.

    Its engines for the latter are no engines: this machine could not execute them anyway. Read only.
    """
    root = tmp_path_factory.mktemp("both") / "bundle"
    shutil.copytree(emoji_w8a8, root)
    write_graphs(
        skeleton=emoji_folder / "work" / "source" / "unet.onnx",
        reader=emoji.weights["unet"].open(),
        component=Component.UNET,
        out=root / "onnx" / Dialect.TENSORRT,
        dialect=Dialect.TENSORRT,
        layout=Layout.PER_RESOLUTION,
        resolutions=(128,),
        batch=1,
        table=LayerTable.read(root / "layers.json"),
        plan=PrecisionPlan.read(root / "plan.yaml"),
        ranges=RangeTable.read(root / "ranges.json"),
        report=lambda phase, done, total: None,
    )
    bundle = Bundle.read(root)
    unets = [engine for engine in bundle.engines if engine.component is Component.UNET]
    added = tuple(replace(engine, target="rtx:sm89", weights=()) for engine in unets)
    replace(bundle, engines=bundle.engines + added).write(root)
    return root
