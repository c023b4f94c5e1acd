"""The engines that are measured, by the same stages as `run`'s: a UNet alone, or with its VAE decoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.crew import execute
from mixdq.compiler.engine_stages import GraphRecord, engine_path
from mixdq.compiler.pipeline import Goal, first_stages_of, stages_of
from mixdq.compiler.recipe import Recipe
from mixdq.compiler.records import Book
from mixdq.compiler.saved_recipe import LAYERS_FILE
from mixdq.compiler.stages import Results, Stage, Watch
from mixdq.configs.bundle import BUNDLE_FILE, Component, TensorSpec
from mixdq.configs.layers import LayerTable
from mixdq.export.source import SourceModel


@dataclass(frozen=True, slots=True)
class EngineFile:
    """A network as a builder made it.

    Attributes:
        file: what the back end opens; for ONNX Runtime the graph.
        graph: the ONNX file that it was built from.
        inputs: the tensors to feed, sizes known.
        outputs: the tensors that come back.
        digests: SHA-256 of all its files, by their paths in the folder.
    """

    file: Path
    graph: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    digests: Mapping[str, str]


Built = Mapping[tuple[Component, int], EngineFile]
"""By component and resolution."""


def find_table(recipe: Recipe, source: SourceModel, work: Path, *, jobs: int, watch: Watch) -> LayerTable:
    """The model's layers, listed into the work folder, its weights checked."""
    with Book.open(work) as book:
        execute(first_stages_of(recipe, source, book), jobs=jobs, watch=watch)
    return LayerTable.read(work / LAYERS_FILE)


def build_engines(
    recipe: Recipe,
    source: SourceModel,
    out: Path,
    components: Iterable[Component],
    *,
    work: Path,
    jobs: int,
    watch: Watch,
) -> Built:
    """Builds some of a bundle's engines into its folder; what is up to date is not built again.

    `run` into the same folder builds the others, and leaves these as they are.

    Args:
        recipe: what to make; one target, an engine a resolution.
        source: its model.
        out: the folder.
        components: which.
        work: the folder of what all plans of the model share.
        jobs: child processes at work at once.
        watch: told how it goes.

    Raises:
        MixdqError: as `run`.
    """
    recipe.check(source)
    (target,) = recipe.targets
    with Book.open(out, seal=out / BUNDLE_FILE) as out_book, Book.open(work) as work_book:
        first = execute(first_stages_of(recipe, source, work_book), jobs=jobs, watch=watch)
        stages = stages_of(recipe, source, work_book, out_book, Goal.BUNDLE, first.results)
        wanted = {
            (component, resolution): (
                f"graphs {component} {target.dialect}",
                f"build {component} {resolution} {target}",
            )
            for component in components
            for resolution in recipe.resolutions
        }
        done = execute(
            _closure(stages, {build for _, build in wanted.values()}), jobs=jobs, watch=watch
        ).results
    return {
        (component, resolution): _engine(
            out, done, graphs, build, resolution, engine_path(component, resolution, target)
        )
        for (component, resolution), (graphs, build) in wanted.items()
    }


def _closure(stages: Sequence[Stage], names: Iterable[str]) -> list[Stage]:
    """The stages of these names and all that they need, in their order."""
    by_name = {stage.name: stage for stage in stages}
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += by_name[name].needs
    return [stage for stage in stages if stage.name in found]


def _engine(
    out: Path, done: Results, graphs: str, build: str, resolution: int, path: str | None
) -> EngineFile:
    record = GraphRecord.find(done[graphs].value, resolution)
    digests = {file: done[graphs].digest_of(file) for file in (record.graph, *record.weights)}
    if path is not None:
        digests = {path: done[build].digest_of(path)}
    graph = out / record.graph
    return EngineFile(graph if path is None else out / path, graph, record.inputs, record.outputs, digests)
