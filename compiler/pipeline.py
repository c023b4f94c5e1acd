"""All stages of a run, from the model to the bundle, as two lists: what sizes it, and what makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path

from mixdq.compiler.begun_calibration import CALIBRATION_CODE
from mixdq.compiler.build_options import Profile
from mixdq.compiler.builders import builder_facts, installed_version
from mixdq.compiler.cuda.stage import PackagePiece
from mixdq.compiler.engine_stages import GraphOrder, GraphRecord, engine_path, make_engine, make_graphs
from mixdq.compiler.needs import TORCH_MIB, Needs
from mixdq.compiler.package_pipeline import PackageMaker, Packages
from mixdq.compiler.paper_stages import EnginePiece, make_bundle, make_plan, make_ranges_copy
from mixdq.compiler.recipe import Calibration, Recipe
from mixdq.compiler.records import Book
from mixdq.compiler.saved_recipe import LAYERS_FILE, RANGES_FILE, SavedRecipe
from mixdq.compiler.sources import code_digest
from mixdq.compiler.stages import Lane, Made, Results, Stage
from mixdq.compiler.torch_stages import (
    CalibrationOrder,
    check_weights,
    make_export,
    make_layers,
    make_ranges,
    make_tokenizers,
)
from mixdq.compiler.worker import Call
from mixdq.configs.bundle import SYMBOLIC, Component, TensorSpec
from mixdq.configs.documents import to_plain
from mixdq.configs.errors import TargetError
from mixdq.configs.layers import LayerTable
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Backend, Dialect, Layout, Target
from mixdq.export.source import SourceModel

# The UNet first: it takes longest at every stage.
_ORDER = (Component.UNET, Component.VAE_DECODER, Component.TEXT_ENCODER_2, Component.TEXT_ENCODER)
# What makes each kind of file, for `code_digest`.
_CHILDREN = "mixdq.compiler.torch_stages"  # of stages that have the whole of their work there
_LAYERS_CODE = ("mixdq.export.layers", "mixdq.export.modules", "mixdq.configs.layers")
_EXPORT_CODE = (
    *("mixdq.export.graph", "mixdq.export.layers", "mixdq.export.modules", "mixdq.export.skeleton"),
)
_PAPER_CODE = ("mixdq.compiler.paper_stages", "mixdq.configs.documents", "mixdq.configs.layers")
_PLAN_CODE = (
    *(*_PAPER_CODE, "mixdq.compiler.saved_recipe", "mixdq.configs.plan", "mixdq.configs.precision"),
    *("mixdq.configs.form", "mixdq.configs.quantizing", "mixdq.configs.target"),
)
_GRAPHS_CODE = (
    *("mixdq.compiler.engine_stages", "mixdq.compiler.graphs", "mixdq.passes"),
    *("mixdq.export.skeleton", "mixdq.export.weights"),
    *("mixdq.configs.layers", "mixdq.configs.plan", "mixdq.configs.quantizer", "mixdq.configs.ranges"),
    *("mixdq.configs.clipping", "mixdq.configs.form", "mixdq.configs.form_quantizer"),
    *("mixdq.configs.quantizing", "mixdq.configs.realized", "mixdq.configs.target"),
)
_BUNDLE_CODE = (
    *(*_PAPER_CODE, "mixdq.compiler.engine_stages", "mixdq.export.source", "mixdq.export.model_configs"),
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


def first_stages_of(recipe: Recipe, source: SourceModel, work: Book) -> list[Stage]:
    """The stages that say how large a model is: what the needs of all others are reckoned from."""
    maker = _Maker(recipe, source, work, work, {}, None)
    return [maker.layers(), maker.weights()]


def stages_of(
    recipe: Recipe, source: SourceModel, work: Book, out: Book, goal: Goal, first: Results
) -> list[Stage]:
    """The stages that lead to a goal, none before what it needs; the first ones are among them.

    Args:
        recipe: what to make, checked.
        source: the recipe's model.
        work: the folder of what every plan of the model shares: `source/`, `layers.json`, `ranges.json`.
        out: the folder of the bundle.
        goal: where to stop.
        first: the records of `first_stages_of`.

    Raises:
        TargetError: graphs of a target that has none.
    """
    table = LayerTable.read(work.root / LAYERS_FILE)
    maker = _Maker(recipe, source, work, out, first["weights"].value, table)
    with_ranges = goal is Goal.BUNDLE or recipe.quantizes
    if goal is Goal.GRAPHS:
        require_graphs(recipe.targets)
    from_modules = [target for target in recipe.targets if target.backend is Backend.CUDA]
    from_graphs = [target for target in recipe.targets if target.backend is not Backend.CUDA]
    unet, *others = (maker.export(component) for component in _ORDER)
    stages = [maker.layers(), maker.weights(), maker.plan(), *([unet] if from_graphs else [])]
    if with_ranges:
        stages += [*maker.calibration(), maker.ranges()]
    stages += others if from_graphs else []
    if goal is Goal.BUNDLE:
        stages.append(maker.tokenizers())
    dialects = sorted({target.dialect for target in from_graphs})
    stages += [maker.graphs(c, dialect, with_ranges) for c in _ORDER for dialect in dialects]
    if goal is Goal.BUNDLE:
        engines = [_Engine(c, r, t) for c in _ORDER for t in from_graphs for r in maker.sizes(c)]
        stages += [maker.engine(engine) for engine in engines]
        packages = [Packages(c, t, maker.sizes(c)) for c in _ORDER for t in from_modules]
        stages += [maker.packages.package(each, size) for each in packages for size in each.sizes]
        stages += [maker.packages.constants(each) for each in packages]
        stages.append(maker.bundle(engines, packages))
    return stages


def require_graphs(targets: Sequence[Target]) -> None:
    """Refuses targets that graphs are asked of and that have none.

    Raises:
        TargetError: says what makes their engines.
    """
    for target in targets:
        if target.backend is Backend.CUDA:
            raise TargetError(
                f"{target} has no graphs: its packages are compiled from the model's modules; use "
                "`mixdq-compile run`"
            )


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

    def __init__(
        self,
        recipe: Recipe,
        source: SourceModel,
        work: Book,
        out: Book,
        parameters: Mapping[str, int],
        table: LayerTable | None,
    ) -> None:
        self._needs = Needs(recipe, source, parameters, table)
        self._recipe, self._source = recipe, source
        self._work, self._out = work, out
        self._torch_facts = {
            "packages": [installed_version(n) for n in ("torch", "diffusers", "transformers", "onnxscript")],
        }
        self.packages = PackageMaker(recipe, source, out, self._needs, self._torch_facts)

    def sizes(self, component: Component) -> tuple[int | None, ...]:
        """The resolutions that a component has graphs of its own for; None for one graph that serves all."""
        sized = component in _SIZED and self._recipe.layout is Layout.PER_RESOLUTION
        return self._recipe.resolutions if sized else (None,)

    def layers(self) -> Stage:
        facts = {
            **self._torch_facts,
            "model": to_plain(self._source.identity),
            "resolutions": self._recipe.resolutions,
            "code": code_digest(*_LAYERS_CODE),
        }
        call = Call(make_layers, (self._source, self._recipe.resolutions, self._work.root / LAYERS_FILE))
        return _torch("layers", self._work, (), facts, call, TORCH_MIB)

    def weights(self) -> Stage:
        facts = {
            **self._torch_facts,
            "model": self._source.identity.digest,
            "code": code_digest(_CHILDREN, "mixdq.export.modules", "mixdq.export.weights"),
        }
        call = Call(check_weights, (self._source,))
        return _torch("weights", self._work, ("layers",), facts, call, TORCH_MIB)

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

        return Stage("plan", self._out, Lane.HERE, ("layers", "weights"), facts, lambda _: call)

    def _skeleton(self, component: Component) -> Path:
        return self._work.root / "source" / f"{component}.onnx"

    def export(self, component: Component) -> Stage:
        path = self._skeleton(component)
        batch = self._recipe.batch
        facts = {
            **self._torch_facts,
            "architecture": self._source.architecture,
            "batch": batch,
            "code": code_digest(*_EXPORT_CODE),
        }
        call = Call(make_export, (self._source, component, batch, path))
        # After the plan only so that a wrong plan is refused before the long work.
        return _torch(_export(component), self._work, ("plan",), facts, call, TORCH_MIB)

    def calibration(self) -> list[Stage]:
        """The stage that measures the ranges; none if the recipe brings them."""
        recipe, work = self._recipe, self._work.root
        calibration = recipe.ranges
        if isinstance(calibration, RangeTable):
            return []
        resolutions = calibration.resolutions or recipe.resolutions
        order = CalibrationOrder(
            self._source, calibration.prompts, calibration.seed, resolutions, calibration.steps
        )
        call = Call(make_ranges, (order, work / LAYERS_FILE, work / RANGES_FILE))
        facts = {
            **self._torch_facts,
            "model": self._source.identity.digest,
            "prompts": calibration.prompts,
            "seed": calibration.seed,
            "resolutions": resolutions,
            "steps": calibration.steps,
            "scheduler": self._source.configs["scheduler"],
            "code": code_digest(*CALIBRATION_CODE),
        }
        return [_torch("calibrate", self._work, ("plan",), facts, call, self._needs.calibration_mib())]

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
        facts = {
            **self._torch_facts,
            "model": self._source.identity.digest,
            "code": code_digest(_CHILDREN),
        }
        call = Call(make_tokenizers, (self._source, self._work.root))
        return _torch("tokenizers", self._work, ("plan",), facts, call, TORCH_MIB)

    def graphs(self, component: Component, dialect: Dialect, with_ranges: bool) -> Stage:
        recipe = self._recipe
        order = GraphOrder(
            component=component,
            dialect=dialect,
            layout=recipe.layout,
            resolutions=recipe.resolutions,
            batch=recipe.batch,
            source=self._source,
            skeleton=self._skeleton(component),
            root=self._out.root,
            with_ranges=with_ranges,
        )
        quantized = component is Component.UNET
        needs = [_export(component), "plan", *(["ranges"] if quantized and with_ranges else [])]

        def facts(done: Results) -> Mapping[str, object]:
            """Only the UNet is quantized: the other graphs don't depend on plan and ranges."""
            return {
                "skeleton": done[_export(component)].digests,
                "model": self._source.identity.digest,
                "resolutions": self.sizes(component),
                "batch": recipe.batch,
                "quantized": [done[name].value for name in needs[1:]] if quantized else [],
                "packages": [installed_version("onnx"), installed_version("onnx-ir")],
                "code": code_digest(*_GRAPHS_CODE),
            }

        call = Call(make_graphs, (replace(order, with_ranges=quantized and with_ranges),))
        return Stage(
            _graphs(component, dialect),
            self._out,
            Lane.FRESH,
            tuple(needs),
            facts,
            lambda _: call,
            memory_mib=self._needs.graph_mib(component, dialect),
            disk_bytes=self._needs.graph_bytes(component, dialect),
        )

    def engine(self, engine: _Engine) -> Stage:
        path = engine_path(engine.component, engine.resolution, engine.target)
        root, recipe = self._out.root, self._recipe

        def facts(done: Results) -> Mapping[str, object]:
            graphs = done[engine.graphs]
            record = GraphRecord.find(graphs.value, engine.resolution)
            return {
                "graph": [graphs.digest_of(path) for path in (record.graph, *record.weights)],
                "builder": builder_facts(engine.target),
                "profiles": self._profiles(record.inputs) if engine.resolution is None else [],
                "stripped": recipe.build.strip_weights and engine.target.backend is not Backend.CPU,
                "code": code_digest(_BUILDER_MODULES[engine.target.dialect], "mixdq.compiler.built"),
            }

        def call(done: Results) -> Call[Made]:
            record = GraphRecord.find(done[engine.graphs].value, engine.resolution)
            profiles = self._profiles(record.inputs) if engine.resolution is None else ()
            return Call(make_engine, (engine.target, root, record, path, profiles, recipe.build))

        return Stage(
            engine.stage,
            self._out,
            Lane.FRESH,
            (engine.graphs,),
            facts,
            call,
            memory_mib=self._needs.engine_mib(engine.component, engine.target),
            disk_bytes=self._needs.engine_bytes(engine.component, engine.target),
        )

    def _profiles(self, inputs: Sequence[TensorSpec]) -> tuple[Profile, ...]:
        """The inputs' shapes at each resolution; none if no size is symbolic."""
        if all(SYMBOLIC not in spec.shape for spec in inputs):
            return ()
        sides = [resolution // self._source.downsampling for resolution in self._recipe.resolutions]
        return tuple(
            {spec.name: tuple(side if size == SYMBOLIC else size for size in spec.shape) for spec in inputs}
            for side in sides
        )

    def bundle(self, engines: list[_Engine], packages: list[Packages]) -> Stage:
        compiled = [name for each in packages for name in (*each.stages, each.constants)]
        built = (*(engine.stage for engine in engines), *compiled)
        needs = ("plan", "ranges", "tokenizers", *built)

        def facts(done: Results) -> Mapping[str, object]:
            return {
                "needs": [done[name].key for name in needs],
                "files": [done[name].digests for name in needs],
                "code": code_digest(*_BUNDLE_CODE),
            }

        def call(done: Results) -> Call[Made]:
            stripped = self._recipe.build.strip_weights
            pieces: list[EnginePiece | PackagePiece] = [
                EnginePiece(e.component, e.target, e.resolution, done[e.graphs], done[e.stage], stripped)
                for e in engines
            ]
            pieces += [piece for each in packages for piece in each.pieces(done)]
            arguments = (self._recipe, self._source, self._work.root, pieces, self._out.root)
            return Call(make_bundle, arguments)

        return Stage("bundle", self._out, Lane.HERE, needs, facts, call)


def _export(component: Component) -> str:
    return f"export {component}"


def _graphs(component: Component, dialect: Dialect) -> str:
    return f"graphs {component} {dialect}"


def _torch(
    name: str,
    book: Book,
    needs: tuple[str, ...],
    facts: Mapping[str, object],
    call: Call[Made],
    memory_mib: float,
) -> Stage:
    """A stage of the torch lane, which depends on nothing that stages before it found."""
    return Stage(name, book, Lane.TORCH, needs, lambda _: facts, lambda _: call, memory_mib=memory_mib)
