"""The final graphs of a bundle, with what was planned for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import onnx_ir as ir

from mixdq.compiler.lint.subject import Planned, Subject
from mixdq.compiler.records import STAGES_FILE, StageRecord
from mixdq.compiler.saved_recipe import LAYERS_FILE, PLAN_FILE
from mixdq.configs.bundle import Bundle, Component, EngineRecord, FileRecord
from mixdq.configs.documents import parse, read_json
from mixdq.configs.errors import BundleError, DigestError, GraphError
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.target import Backend, Target


def read_planned(root: Path, bundle: Bundle) -> Planned:
    """The plan and the layers of a bundle.

    Raises:
        DigestError: one of them is not what the bundle was built with.
    """
    plan, table = PrecisionPlan.read(root / PLAN_FILE), LayerTable.read(root / LAYERS_FILE)
    for path, found, wanted in (
        (PLAN_FILE, plan.digest, bundle.plan_digest),
        (LAYERS_FILE, table.digest, bundle.layers_digest),
    ):
        if found != wanted:
            raise DigestError(
                f"{root / path} was changed after the bundle was built; run `mixdq-compile run` again"
            )
    return Planned(plan, table)


def bundle_subjects(root: Path, bundle: Bundle, planned: Planned) -> Iterator[Subject]:
    """Every final graph of a bundle, once, though several targets' engines may come from it.

    Only the graphs are read and compared with their digests. Their weights, gigabytes for SDXL-Turbo, are
    not: they have to be there, whole by their size; `mixdq-compile verify` compares them too.

    Raises:
        BundleError: there are no graphs; or one or its weights are missing, or there is no record of them.
        DigestError: a file is not the one that was built.
        GraphError: a graph is no ONNX.
    """
    records = _records(root, bundle)
    seen: set[str] = set()
    with_graphs = [e for e in bundle.engines if Target.parse(e.target).backend is not Backend.CUDA]
    if not with_graphs:
        raise BundleError(
            f"{root} has no graphs to lint: its packages are compiled from modules; lint a bundle of another "
            "target"
        )
    for engine in with_graphs:
        path = graph_path(engine)
        if path in seen:
            continue
        seen.add(path)
        graph = _read(root, path, records)
        of_unet = planned if engine.component is Component.UNET else None
        yield Subject(path, graph, Target.parse(engine.target).dialect, of_unet)


def graph_path(engine: EngineRecord) -> str:
    """The graph that an engine was built from, relative to the bundle's folder: `onnx/ort/unet-512.onnx`."""
    target = Target.parse(engine.target)
    if target.backend is Backend.CPU:
        return engine.file.path
    size = "" if engine.resolution is None else f"-{engine.resolution}"
    return f"onnx/{target.dialect}/{engine.component}{size}.onnx"


def _records(root: Path, bundle: Bundle) -> Mapping[str, FileRecord]:
    """What the run recorded of the folder's files, by path; engines' own files as the bundle records them."""
    file = root / STAGES_FILE
    plain = read_json(dict, file, BundleError).get("stages") if file.is_file() else []
    if not isinstance(plain, list):
        raise BundleError(f"{file} lists no stages; run `mixdq-compile run` again, which writes it anew")
    stages = [parse(StageRecord, stage, str(file), BundleError) for stage in plain]
    records = [record for stage in stages for record in stage.files]
    records += [record for engine in bundle.engines for record in (engine.file, *engine.weights)]
    return {record.path: record for record in records}


def _read(root: Path, path: str, records: Mapping[str, FileRecord]) -> ir.Graph:
    if path not in records:
        raise BundleError(
            f"{root} has no record of {path}, which an engine was built from: lint the folder that "
            f"`mixdq-compile run` wrote, with its {STAGES_FILE} and graphs"
        )
    file = records[path].check(root)
    try:
        graph = ir.load(file).graph
    except Exception as error:  # protobuf's decoder raises types of its own
        raise GraphError(f"{file} is no ONNX graph that can be read: {error}") from error
    for location in _locations(graph):
        _check_size(root, (PurePosixPath(path).parent / location).as_posix(), records)
    return graph


def _locations(graph: ir.Graph) -> list[str]:
    tensors = [value.const_value for value in graph.initializers.values()]
    return sorted({str(tensor.location) for tensor in tensors if isinstance(tensor, ir.ExternalTensor)})


def _check_size(root: Path, path: str, records: Mapping[str, FileRecord]) -> None:
    file, record = root / path, records.get(path)
    if record is None or not file.is_file():
        raise BundleError(
            f"{file}, a graph's weights, is missing; run `mixdq-compile run` again to restore it"
        )
    if (found := file.stat().st_size) != record.bytes:
        raise DigestError(
            f"{file} has {found} bytes where {record.bytes} were written: it was changed or cut off; run "
            "`mixdq-compile run` again to rebuild it"
        )
