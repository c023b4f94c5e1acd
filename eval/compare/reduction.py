"""From a failing graph to the layer that is guilty: a report, and the layer by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
from pydantic.dataclasses import dataclass
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.bundle import BUNDLE_FILE
from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.errors import BundleError, GraphError
from mixdq.configs.files import sha256_of_file, write_text
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.configs.target import Dialect
from mixdq.eval.compare.guilty import LAYER_FLOOR_DB, Search, find_guilty
from mixdq.eval.compare.subject import Subject, open_subject

REDUCE_FILE = "reduce.json"
_PACKAGES = ("mixdq", "diffusers", "numpy", "onnx", "onnxruntime", "polygraphy", "torch")
_DIALECTS = {onnx.TensorProto.FLOAT: Dialect.ORT, onnx.TensorProto.FLOAT16: Dialect.TENSORRT}


@dataclass(frozen=True, slots=True, config=STRICT)
class GraphSearch:
    """The search through one graph.

    Attributes:
        file: the graph.
        sha256: of that file; its external data is not part of it.
        dialect: its form.
        floor_db: the least SQNR of a layer.
        found: what the search found; paths are relative to `folder`.
        folder: of the guilty layers, relative to the report.
    """

    file: str
    sha256: str
    dialect: Dialect
    floor_db: float
    found: Search
    folder: str


@dataclass(frozen=True, slots=True, config=STRICT)
class ReduceReport:
    """Layers that compute something else than the simulation of their plan (`reduce.json`).

    Attributes:
        model: the model and its digest.
        plan: the precision plan in words.
        plan_digest: `PrecisionPlan.digest`.
        ranges_digest: `RangeTable.digest`; None without ranges.
        resolution: pixels.
        prompt: what was drawn.
        seed: of the noise.
        machine: processor, GPU, system.
        versions: the packages that did the work.
        graphs: one entry a graph.
    """

    model: ModelIdentity
    plan: str
    plan_digest: str
    ranges_digest: str | None
    resolution: int
    prompt: str
    seed: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    graphs: tuple[GraphSearch, ...]

    @property
    def sound(self) -> bool:
        """Whether no layer is guilty."""
        return not any(graph.found.guilty for graph in self.graphs)

    def table(self) -> Table:
        """One row a guilty layer."""
        view = Table(title="guilty layers, in the order in which they run", box=SIMPLE_HEAD)
        for heading in ("graph", "layer", "precision", "SQNR dB", "least"):
            right = heading in ("SQNR dB", "least")
            view.add_column(heading, justify="right" if right else "left", no_wrap=heading != "graph")
        for graph in self.graphs:
            for layer in graph.found.guilty:
                cells = (layer.name, layer.precision, f"{layer.sqnr_db:.1f}", f"{graph.floor_db:.0f}")
                view.add_row(graph.dialect, *cells)
        return view

    def lines(self) -> Iterator[str]:
        """What is wrong with each layer, and what was looked at."""
        for graph in self.graphs:
            layers = graph.found.layers.values()
            guilty = graph.found.guilty
            verdict = f"{len(guilty)} guilty" if guilty else "none guilty"
            yield f"{graph.file}: {len(layers)} layers, {verdict}, the lowest at {min(layers):.1f} dB"
            for layer in guilty:
                yield f"{layer.name}: {'; '.join(layer.faults)}"
                yield f"  by itself, with Polygraphy's command: {graph.folder}/{layer.repro}"


def reduce(
    path: Path,
    out: Path,
    *,
    bundle: Path | None,
    model: str | None,
    resolution: int | None,
    prompt: str,
    seed: int,
    report: Report,
) -> ReduceReport:
    """Searches a UNet graph, or every one of a bundle, for layers that deviate; writes what it found.

    A whole graph says little: rounding flips run through it. A layer by itself, on the input that it has in
    the plan's simulation, has none, so that its floor is high (`mixdq.eval.compare.guilty`).

    Args:
        path: a bundle's folder, or a UNet graph.
        out: the folder to write.
        bundle: of a graph, the bundle with its plan and ranges; None for the one that it lies in.
        model: the model that it was compiled from; None for the one that the bundle names.
        resolution: pixels; None for those of the graph, or the bundle's smallest.
        prompt: what to draw.
        seed: of the noise.
        report: told how far it is.

    Raises:
        BundleError: no bundle there.
        GraphError: a graph can't be read, is no UNet, or lacks a layer.
        MixdqError: see `open_subject`.
    """
    if path.is_dir():
        subject = open_subject(path, model, resolution)
        graphs = dict(subject.graphs())
    else:
        dialect, side = _form(path)
        root = _bundle_around(path) if bundle is None else bundle
        subject = open_subject(root, model, resolution)
        if side is not None and side * subject.bundle.pipeline.downsampling != subject.resolution:
            subject = open_subject(root, model, side * subject.bundle.pipeline.downsampling)
        graphs = {dialect: path}
    searches = tuple(
        _search(subject, graph, form, prompt, seed, out, report) for form, graph in graphs.items()
    )
    found = ReduceReport(
        model=subject.bundle.model,
        plan=subject.bundle.plan_summary,
        plan_digest=subject.bundle.plan_digest,
        ranges_digest=subject.bundle.ranges_digest,
        resolution=subject.resolution,
        prompt=prompt,
        seed=seed,
        machine=describe_machine(),
        versions=installed_versions(*_PACKAGES),
        graphs=searches,
    )
    write_text(out / REDUCE_FILE, to_json(found))
    return found


def _search(
    subject: Subject, graph: Path, dialect: Dialect, prompt: str, seed: int, out: Path, report: Report
) -> GraphSearch:
    folder = out / dialect
    found = run_in_child(find_guilty, subject, graph, dialect, prompt, seed, folder, report=report).value
    return GraphSearch(
        str(graph), sha256_of_file(graph), dialect, LAYER_FLOOR_DB[dialect], found, dialect.value
    )


def _form(path: Path) -> tuple[Dialect, int | None]:
    """A UNet graph's dialect and its latent side; None for a symbolic one.

    Raises:
        GraphError: it is no UNet graph of ours.
    """
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:  # protobuf's decoder raises types of its own
        raise GraphError(f"{path} is no ONNX graph that can be read: {error}") from error
    tensors = {value.name: value.type.tensor_type for value in graph.input}
    if "sample" not in tensors or tensors["sample"].elem_type not in _DIALECTS:
        raise GraphError(
            f"{path} takes {', '.join(tensors) or 'nothing'}: no UNet graph of ours, which takes `sample` in "
            "FP32 or FP16; give one from a bundle's onnx/ folder"
        )
    last = tensors["sample"].shape.dim[-1]
    return _DIALECTS[tensors["sample"].elem_type], last.dim_value or None


def _bundle_around(path: Path) -> Path:
    for folder in path.absolute().parents:
        if (folder / BUNDLE_FILE).is_file():
            return folder
    raise BundleError(f"{path} lies in no bundle; give --bundle the folder of the one that it comes from")
