"""The stages from exported graphs to engines: the graphs of a plan, and one engine of each."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass

from mixdq.compiler.build_options import BuildOptions, Profile
from mixdq.compiler.builders import build
from mixdq.compiler.stages import Made
from mixdq.compiler.worker import Report
from mixdq.configs.bundle import Component, TensorSpec
from mixdq.configs.documents import STRICT, parse, to_plain
from mixdq.configs.errors import BundleError
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Backend, Dialect, Layout, Target
from mixdq.export.source import SUBFOLDERS, SourceModel


@dataclass(frozen=True, slots=True, config=STRICT)
class GraphRecord:
    """A graph that a builder reads, its paths relative to the bundle's folder.

    Attributes:
        resolution: pixels; None for graphs that serve every resolution.
        graph: the ONNX file.
        weights: the files of its external data.
        inputs: the tensors to feed.
        outputs: the tensors that come back.
    """

    resolution: int | None
    graph: str
    weights: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @classmethod
    def find(cls, value: Any, resolution: int | None) -> GraphRecord:
        """The record of one resolution in the value of a `make_graphs` stage."""
        records = [parse(cls, item, "a stage's record", BundleError) for item in value]
        return next(record for record in records if record.resolution == resolution)


@dataclasses.dataclass(frozen=True, slots=True)
class GraphOrder:
    """What graphs to write.

    Attributes:
        component: the network.
        dialect: the form that the builder reads.
        layout: one graph a resolution, or one for all.
        resolutions: pixels.
        batch: images at once.
        source: the model, for its weights.
        skeleton: the exported graph.
        root: the bundle's folder, which holds `layers.json`, `plan.yaml` and `ranges.json`.
        with_ranges: whether there is a `ranges.json`.
    """

    component: Component
    dialect: Dialect
    layout: Layout
    resolutions: tuple[int, ...]
    batch: int
    source: SourceModel
    skeleton: Path
    root: Path
    with_ranges: bool


def make_graphs(report: Report, order: GraphOrder) -> Made:
    """Writes the graphs of one component; the value is a list of `GraphRecord`."""
    report("importing onnx", 0, None)
    from mixdq.compiler.graphs import write_graphs

    graphs = write_graphs(
        skeleton=order.skeleton,
        reader=order.source.weights[SUBFOLDERS[order.component]].open(),
        component=order.component,
        out=order.root / "onnx" / order.dialect,
        dialect=order.dialect,
        layout=order.layout,
        resolutions=order.resolutions,
        batch=order.batch,
        table=LayerTable.read(order.root / "layers.json"),
        plan=PrecisionPlan.read(order.root / "plan.yaml"),
        ranges=RangeTable.read(order.root / "ranges.json") if order.with_ranges else None,
        report=report,
    )
    records = [
        GraphRecord(
            resolution,
            _relative(files.graph, order.root),
            tuple(_relative(path, order.root) for path in files.weights),
            files.inputs,
            files.outputs,
        )
        for resolution, files in graphs.items()
    ]
    files = dict.fromkeys(path for record in records for path in (record.graph, *record.weights))
    return Made(tuple(order.root / path for path in files), [to_plain(record) for record in records])


def engine_path(component: Component, resolution: int | None, target: Target) -> str | None:
    """Where an engine goes in the bundle: `engines/unet-128.rtx-sm89.engine`; None where the graph is it."""
    if target.backend is Backend.CPU:
        return None
    size = "" if resolution is None else f"-{resolution}"
    return f"engines/{component}{size}.{target.slug}.engine"


def make_engine(
    report: Report,
    target: Target,
    root: Path,
    record: GraphRecord,
    engine: str | None,
    profiles: tuple[Profile, ...],
    options: BuildOptions,
) -> Made:
    """Builds an engine, or checks the graph that is one; the value is a `Built`."""
    path = None if engine is None else root / engine
    graph = root / record.graph
    built = build(report, target, graph, path, record.inputs, record.outputs, profiles, options)
    return Made(() if path is None else (path,), to_plain(built))


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
