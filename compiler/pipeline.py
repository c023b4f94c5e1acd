"""All stages of a run, from the model to the bundle, as one list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from mixdq.compiler.builders import builder_facts, installed_version
from mixdq.compiler.engine_stages import GraphOrder, GraphRecord, engine_path, make_engine, make_graphs
from mixdq.compiler.paper_stages import EnginePiece, make_bundle, make_plan, make_ranges_copy
from mixdq.compiler.recipe import Calibration, Recipe
from mixdq.compiler.records import Book
from mixdq.compiler.saved_recipe import LAYERS_FILE, RANGES_FILE, SavedRecipe
from mixdq.compiler.sources import code_digest
from mixdq.compiler.stages import Lane, Made, Results, Stage
from mixdq.compiler.torch_stages import (
    CalibrationOrder,
    make_export,
    make_layers,
    make_ranges,
    make_tokenizers,
)
from mixdq.compiler.worker import Call
from mixdq.configs.bundle import Component
from mixdq.configs.documents import to_plain
from mixdq.configs.layers import LayerTable
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect, Target
from mixdq.export.source import SourceModel

# The UNet first: it takes longest at every stage.
_ORDER = (Component.UNET, Component.VAE_DECODER, Component.TEXT_ENCODER_2, Component.TEXT_ENCODER)
# What makes each kind of file, for `code_digest`.
_TORCH_CODE = ("mixdq.compiler.torch_stages", "mixdq.export", "mixdq.configs.layers")
_PAPER_CODE = ("mixdq.compiler.paper_stages", "mixdq.configs.documents", "mixdq.configs.layers")
_PLAN_CODE = (
    *(*_PAPER_CODE, "mixdq.compiler.saved_recipe", "mixdq.configs.plan", "mixdq.configs.precision"),
    "mixdq.configs.target",
)
_GRAPHS_CODE = (
    *("mixdq.compiler.engine_stages", "mixdq.compiler.graphs", "mixdq.passes"),
    *("mixdq.configs.layers", "mixdq.configs.plan", "mixdq.configs.quantizer", "mixdq.configs.ranges"),
    "mixdq.configs.target",
)
_BUNDLE_CODE = (
    *(*_PAPER_CODE, "mixdq.compiler.engine_stages", "mixdq.export"),
    *("mixdq.configs.bundle", "mixdq.configs.plan", "mixdq.configs.ranges"),
)
_BUILDER_MODULES = {
    Dialect.ORT: "mixdq.compiler.ort_builder",
    Dialect.TENSORRT: "mixdq.compiler.tensorrt_builder",
}
_SIZED = (Component.UNET, Component.VAE_DECODER)


class Goal(Enum):
    """How far a run goes: to the graphs that builders read, or to the bundle."""

    GRAPHS = auto()
    BUNDLE = auto()


def stages_of(recipe: Recipe, source: SourceModel, work: Book, out: Book, goal: Goal) -> list[Stage]:
    """The stages that lead to a goal, none before what it needs.

    Args:
        recipe: what to make, checked.
        source: the recipe's model.
        work: the folder of what every plan of the model shares: `source/`, `layers.json`, `ranges.json`.
        out: the folder of the bundle.
        goal: where to stop.
    """
    maker = _Maker(recipe, source, work, out)
    with_ranges = goal is Goal.BUNDLE or recipe.quantizes
    unet, *others = (maker.export(component) for component in _ORDER)
    stages = [maker.layers(), maker.plan(), unet]
    if with_ranges:
        stages += [*maker.calibration(), maker.ranges()]
    stages += others
    if goal is Goal.BUNDLE:
        stages.append(maker.tokenizers())
    dialects = sorted({target.dialect for target in recipe.targets})
    stages += [maker.graphs(c, dialect, with_ranges) for c in _ORDER for dialect in dialects]
    if goal is Goal.BUNDLE:
        engines = [_Engine(c, r, t) for c in _ORDER for t in recipe.targets for r in maker.sizes(c)]
        stages += [maker.engine(engine) for engine in engines]
        stages.append(maker.bundle(engines))
    return stages


@dataclass(frozen=True, slots=True)
class _Engine:
    component: Component
    resolution: int | None
    target: Target

    @property
    def graphs(self) -> str:
        return _graphs(self.component, self.target.dialect)

    @property
    def stage(self) -> str:
        size = "" if self.resolution is None else f" {self.resolution}"
        return f"build {self.component}{size} {self.target}"


class _Maker:
    """Makes the stages of one recipe."""

    def __init__(self, recipe: Recipe, source: SourceModel, work: Book, out: Book) -> None:
        self._recipe, self._source = recipe, source
        self._work, self._out = work, out
        self._torch_facts = {
            "model": source.identity.digest,
            "name": source.identity.name,
            "packages": [installed_version(n) for n in ("torch", "diffusers", "transformers", "onnxscript")],
        }

    def sizes(self, component: Component) -> tuple[int | None, ...]:
        """The resolutions that a component has graphs of its own for; None for one graph that serves all."""
        return self._recipe.resolutions if component in _SIZED else (None,)

    def layers(self) -> Stage:
        facts = {
            **self._torch_facts,
            "resolutions": self._recipe.resolutions,
            "code": code_digest(*_TORCH_CODE),
        }
        call = Call(
            make_layers, (self._recipe.model, self._recipe.resolutions, self._work.root / LAYERS_FILE)
        )
        return Stage("layers", self._work, Lane.TORCH, (), lambda _: facts, lambda _: call)

    def plan(self) -> Stage:
        recipe, layers = self._recipe, self._work.root / LAYERS_FILE
        work = self._work.root
        call = Call(make_plan, (recipe, layers, work, self._out.root))

        def facts(done: Results) -> Mapping[str, object]:
            return {
                "plan": recipe.plan_for(LayerTable.read(layers)).digest,
                "recipe": to_plain(SavedRecipe.of(recipe, work, self._out.root)),
                "layers": done["layers"].digests,
                "code": code_digest(*_PLAN_CODE),
            }

        return Stage("plan", self._out, Lane.HERE, ("layers",), facts, lambda _: call)

    def export(self, component: Component) -> Stage:
        path = self._work.root / "source" / f"{component}.onnx"
        batch = self._recipe.batch
        facts = {
            **self._torch_facts,
            "batch": batch,
            "code": code_digest(*_TORCH_CODE),
        }
        call = Call(make_export, (self._recipe.model, component, batch, path))
        # After the plan only so that a wrong plan is refused before the long work.
        return Stage(_export(component), self._work, Lane.TORCH, ("plan",), lambda _: facts, lambda _: call)

    def calibration(self) -> list[Stage]:
        """The stage that measures the ranges; none if the recipe brings them."""
        recipe, work = self._recipe, self._work.root
        calibration = recipe.ranges
        if isinstance(calibration, RangeTable):
            return []
        order = CalibrationOrder(recipe.model, calibration.prompts, calibration.seed, recipe.resolutions)
        call = Call(make_ranges, (order, work / LAYERS_FILE, work / RANGES_FILE))
        facts = {
            **self._torch_facts,
            "prompts": calibration.prompts,
            "seed": calibration.seed,
            "resolutions": recipe.resolutions,
            "code": code_digest(*_TORCH_CODE, "mixdq.configs.ranges"),
        }
        return [Stage("calibrate", self._work, Lane.TORCH, ("plan",), lambda _: facts, lambda _: call)]

    def ranges(self) -> Stage:
        given = self._recipe.ranges
        measured = isinstance(given, Calibration)
        path = self._work.root / RANGES_FILE if isinstance(given, Calibration) else given
        call = Call(make_ranges_copy, (path, self._out.root))

        def facts(done: Results) -> Mapping[str, object]:
            digest = given.digest if isinstance(given, RangeTable) else done["calibrate"].value
            return {
                "ranges": digest,
                "layers": done["layers"].value,
                "code": code_digest(*_PAPER_CODE, "mixdq.configs.ranges"),
            }

        needs = ("plan", "calibrate") if measured else ("plan",)
        return Stage("ranges", self._out, Lane.HERE, needs, facts, lambda _: call)

    def tokenizers(self) -> Stage:
        facts = {**self._torch_facts, "code": code_digest(*_TORCH_CODE)}
        call = Call(make_tokenizers, (self._recipe.model, self._work.root))
        return Stage("tokenizers", self._work, Lane.TORCH, ("plan",), lambda _: facts, lambda _: call)

    def graphs(self, component: Component, dialect: Dialect, with_ranges: bool) -> Stage:
        recipe = self._recipe
        order = GraphOrder(
            component=component,
            dialect=dialect,
            resolutions=recipe.resolutions,
            batch=recipe.batch,
            source_folder=self._work.root / "source",
            root=self._out.root,
            with_ranges=with_ranges,
        )
        quantized = component is Component.UNET
        needs = [_export(component), "plan", *(["ranges"] if quantized and with_ranges else [])]

        def facts(done: Results) -> Mapping[str, object]:
            """Only the UNet is quantized: the other graphs don't depend on plan and ranges."""
            return {
                "source": done[_export(component)].digests,
                "resolutions": self.sizes(component),
                "batch": recipe.batch,
                "quantized": [done[name].value for name in needs[1:]] if quantized else [],
                "packages": [installed_version("onnx"), installed_version("onnx-ir")],
                "code": code_digest(*_GRAPHS_CODE),
            }

        call = Call(make_graphs, (replace(order, with_ranges=quantized and with_ranges),))
        return Stage(_graphs(component, dialect), self._out, Lane.FRESH, tuple(needs), facts, lambda _: call)

    def engine(self, engine: _Engine) -> Stage:
        path = engine_path(engine.component, engine.resolution, engine.target)
        root = self._out.root

        def facts(done: Results) -> Mapping[str, object]:
            graphs = done[engine.graphs]
            record = GraphRecord.find(graphs.value, engine.resolution)
            return {
                "graph": [graphs.digest_of(path) for path in (record.graph, *record.weights)],
                "builder": builder_facts(engine.target),
                "code": code_digest(_BUILDER_MODULES[engine.target.dialect], "mixdq.compiler.built"),
            }

        def call(done: Results) -> Call[Made]:
            record = GraphRecord.find(done[engine.graphs].value, engine.resolution)
            return Call(make_engine, (engine.target, root, record, path))

        return Stage(engine.stage, self._out, Lane.FRESH, (engine.graphs,), facts, call)

    def bundle(self, engines: list[_Engine]) -> Stage:
        needs = ("plan", "ranges", "tokenizers", *(engine.stage for engine in engines))

        def facts(done: Results) -> Mapping[str, object]:
            return {
                "needs": [done[name].key for name in needs],
                "files": [done[name].digests for name in needs],
                "code": code_digest(*_BUNDLE_CODE),
            }

        def call(done: Results) -> Call[Made]:
            pieces = [
                EnginePiece(e.component, e.target, e.resolution, done[e.graphs], done[e.stage])
                for e in engines
            ]
            arguments = (self._recipe, self._source, self._work.root, pieces, self._out.root)
            return Call(make_bundle, arguments)

        return Stage("bundle", self._out, Lane.HERE, needs, facts, call)


def _export(component: Component) -> str:
    return f"export {component}"


def _graphs(component: Component, dialect: Dialect) -> str:
    return f"graphs {component} {dialect}"
