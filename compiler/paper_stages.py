"""The stages that write documents: the plan, the ranges, and last of all `bundle.json`."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixdq.compiler.built import Built
from mixdq.compiler.cuda.stage import PackagePiece
from mixdq.compiler.engine_stages import GraphRecord
from mixdq.compiler.recipe import Recipe
from mixdq.compiler.records import StageRecord
from mixdq.compiler.saved_recipe import LAYERS_FILE, PLAN_FILE, RANGES_FILE, RECIPE_FILE, SavedRecipe
from mixdq.compiler.stages import Made
from mixdq.compiler.worker import Report
from mixdq.configs.bundle import (
    BUNDLE_FILE,
    GRANULARITY,
    Bundle,
    Component,
    EngineRecord,
    FileRecord,
)
from mixdq.configs.documents import parse
from mixdq.configs.errors import BundleError
from mixdq.configs.files import writing
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Target
from mixdq.export.source import SourceModel
from mixdq.export.tokenizer_files import TOKENIZERS


def make_plan(report: Report, recipe: Recipe, layers: Path, work: Path, root: Path) -> Made:
    """Writes `plan.yaml`, `layers.json` and `recipe.json` of a bundle; the value is the plan's digest."""
    table = LayerTable.read(layers)
    plan = recipe.plan_for(table)
    for target in recipe.targets:
        target.check(plan)
    table.write(root / LAYERS_FILE)
    plan.write(root / PLAN_FILE)
    SavedRecipe.of(recipe, work, root).write(root)
    return Made((root / LAYERS_FILE, root / PLAN_FILE, root / RECIPE_FILE), plan.digest)


def make_ranges_copy(report: Report, ranges: RangeTable | Path, root: Path) -> Made:
    """Writes `ranges.json` of a bundle, after a check against its layers; the value is its digest."""
    table = RangeTable.read(ranges) if isinstance(ranges, Path) else ranges
    table.check(LayerTable.read(root / LAYERS_FILE))
    table.write(root / RANGES_FILE)
    return Made((root / RANGES_FILE,), table.digest)


@dataclass(frozen=True, slots=True)
class EnginePiece:
    """What the bundle's entry of one engine is put together from.

    Attributes:
        component: the network.
        target: what it was built for.
        resolution: pixels; None for engines that serve every resolution.
        graphs: the record of the stage that wrote its graph.
        engine: the record of the stage that built it.
        stripped: whether it was built without its weights.
    """

    component: Component
    target: Target
    resolution: int | None
    graphs: StageRecord
    engine: StageRecord
    stripped: bool

    def record(self) -> EngineRecord:
        """The bundle's entry."""
        graph = GraphRecord.find(self.graphs.value, self.resolution)
        built = parse(Built, self.engine.value, self.engine.name, BundleError)
        files = {file.path: file for file in self.graphs.files}
        own = self.engine.files
        return EngineRecord(
            component=self.component,
            target=str(self.target),
            resolution=self.resolution,
            file=own[0] if own else files[graph.graph],
            weights=self._weights(files, graph),
            builder=built.builder,
            built_for=built.built_for,
            inputs=graph.inputs,
            outputs=graph.outputs,
        )

    def _weights(self, files: Mapping[str, FileRecord], graph: GraphRecord) -> tuple[FileRecord, ...]:
        """What an engine loads beside itself; of one without weights the graph that fills it comes first."""
        weights = tuple(files[path] for path in graph.weights)
        if not self.engine.files:
            return weights
        return (files[graph.graph], *weights) if self.stripped else ()


def make_bundle(
    report: Report,
    recipe: Recipe,
    source: SourceModel,
    tokenizers: Path,
    pieces: Sequence[EnginePiece | PackagePiece],
    root: Path,
) -> Made:
    """Copies the tokenizers and writes `bundle.json`: from then on the folder is a bundle."""
    files = [_copy(tokenizers / path, root / path) for path in tokenizer_paths()]
    table = LayerTable.read(root / LAYERS_FILE)
    plan = PrecisionPlan.read(root / PLAN_FILE)
    ranges = RangeTable.read(root / RANGES_FILE)
    first, second = (FileRecord.of(root, path) for path in files)
    bundle = Bundle(
        model=source.identity,
        plan_digest=plan.digest,
        plan_summary=summary_of(plan, table),
        granularity=GRANULARITY,
        layers_digest=table.digest,
        ranges_digest=ranges.digest if any(p.quantizes_activation for p in plan.layers.values()) else None,
        resolutions=recipe.resolutions,
        batch=recipe.batch,
        pipeline=source.pipeline_spec(_bos_digest(ranges)),
        tokenizers=(first, second),
        engines=tuple(piece.record() for piece in pieces),
    )
    bundle.write(root)
    return Made((*files, root / BUNDLE_FILE))


def tokenizer_paths() -> tuple[str, ...]:
    """Where the tokenizers are, in the work folder and in the bundle."""
    return tuple(f"{name}/tokenizer.json" for name in TOKENIZERS)


def summary_of(plan: PrecisionPlan, table: LayerTable) -> str:
    """A plan in words: `W8A8, 2 layers W8A16 (BOS-aware, split shortcuts)`."""
    counts: dict[str, int] = {}
    for precision in plan.layers.values():
        counts[str(precision)] = counts.get(str(precision), 0) + 1
    main, *others = sorted(counts, key=lambda name: -counts[name])
    words = [main, *(f"{counts[name]} of {len(plan.layers)} layers {name}" for name in others[:4])]
    if len(others) > 4:
        weight, activation = plan.mean_bits(table)
        words.append(f"mean W{weight:.2f}A{activation:.2f}")
    if set(counts) == {"FP16"}:
        return main
    marks = ["BOS-aware" if plan.bos_aware else "not BOS-aware"]
    marks.append("split shortcuts" if plan.split_shortcuts else "whole shortcuts")
    return f"{', '.join(words)} ({', '.join(marks)})"


def _copy(source: Path, target: Path) -> Path:
    with writing(target) as temporary:
        shutil.copyfile(source, temporary)
    return target


def _bos_digest(ranges: RangeTable) -> str:
    return hashlib.sha256(np.asarray(ranges.bos, dtype="<f4").tobytes()).hexdigest()
