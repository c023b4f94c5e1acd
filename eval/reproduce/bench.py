"""Where rows are made: plans compiled and drawn in a folder that recipes share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.options import jobs_of
from mixdq.compiler.progress import child_on_terminal, terminal_watch
from mixdq.compiler.recipe import Calibration, Recipe
from mixdq.compiler.run import run
from mixdq.compiler.saved_recipe import RANGES_FILE
from mixdq.compiler.torch_stages import CalibrationOrder, calibrate_layers
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import remove, sha256_of_text
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import CalibrationRun, RangeTable
from mixdq.configs.target import Layout, Target
from mixdq.eval.images.bundle_source import bundle_source
from mixdq.eval.images.draw import draw_set
from mixdq.eval.images.order import Order, order_digest
from mixdq.eval.quality.found import Watch
from mixdq.eval.quality.pictures import DrawnSet, open_drawn
from mixdq.eval.reproduce.simulated import simulated_source
from mixdq.export.source import SourceModel

_CPU = "cpu"
_STEPS = 1
_DIGITS = 12
"""Of a digest in a folder's name."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all rows of a recipe are made with.

    Attributes:
        source: the model.
        table: its layers.
        work: the folder that recipes share.
        resolution: pixels of the pictures.
        device: what draws: `cpu` or `cuda`.
        simulate: whether torch simulates every plan.
        calibration: what the ranges are measured on.
        keep_bundles: whether compiled rows stay when they are drawn.
        console: where to show the compiler's progress.
        watch: told of everything else's.
    """

    source: SourceModel
    table: LayerTable
    work: Path
    resolution: int
    device: str
    simulate: bool
    calibration: Calibration
    keep_bundles: bool
    console: Console
    watch: Watch

    def compile_folder(self, resolutions: Sequence[int]) -> Path:
        """What bundles of these sizes share; one of each set of sizes, whose stages differ."""
        return self.work / "compile" / _sizes(resolutions)

    def compile(self, name: str, plan: PrecisionPlan, resolutions: Sequence[int]) -> Path:
        """A row's bundle for ONNX Runtime, up to date; returns its folder.

        Raises:
            MixdqError: see `mixdq.compiler.run.run`.
        """
        folder = self._bundle(name, resolutions)
        recipe = Recipe(
            choice=self.source.choice,
            targets=(Target.parse(_CPU),),
            resolutions=tuple(resolutions),
            batch=1,
            plan=plan,
            ranges=self.calibration,
            layout=Layout.PER_RESOLUTION,
            build=BuildOptions(timing_cache=None, strip_weights=False),
        )
        self.watch(f"{name}: compiling")  # takes the last phase's line away
        with terminal_watch(self.console) as watch:
            run(
                recipe,
                folder,
                work=self.compile_folder(resolutions),
                jobs=jobs_of(None),
                watch=watch,
                source=self.source,
            )
        return folder

    def draw(
        self, name: str, plan: PrecisionPlan, pictures: Sequence[Order], *, simulate: bool = False
    ) -> DrawnSet:
        """A row's pictures; what is drawn already is not drawn again, nor compiled if all is.

        Args:
            name: the row's.
            plan: its precisions.
            pictures: what to draw.
            simulate: whether this plan can't but be simulated.

        Raises:
            MixdqError: see `run` and `draw_set`.
        """
        simulate = simulate or self.simulate
        if (there := self.drawn(name, plan, pictures)) is not None:
            return there
        folder = self._pictures(name, pictures)
        if simulate:
            drawer = simulated_source(
                self.source,
                self.table,
                plan,
                self.ranges(),
                device=self.device,
                resolution=self.resolution,
            )
        else:
            drawer = bundle_source(
                self.compile(name, plan, (self.resolution,)),
                target=_CPU,
                device=self.device,
                resolution=self.resolution,
                steps=_STEPS,
                batch=None,
                jobs=None,
            )
        draw_set(drawer, pictures, folder, self.watch(f"{name}: drawing"))
        if not simulate and not self.keep_bundles:
            remove(self._bundle(name, (self.resolution,)))
        return open_drawn(folder)

    def ranges(self) -> RangeTable:
        """The ranges that bundles of this recipe are compiled with; measured if no bundle has been."""
        given = self.calibration
        sizes = given.resolutions or (self.resolution,)
        wanted = CalibrationRun(
            len(given.prompts), sha256_of_text("\n".join(given.prompts)), given.seed, sizes, given.steps
        )
        compiled = self.compile_folder((self.resolution,)) / RANGES_FILE
        for path in (compiled, self.work / RANGES_FILE):
            if path.is_file():
                ranges = RangeTable.read(path)
                if ranges.calibration == wanted:
                    ranges.check(self.table)
                    return ranges
        order = CalibrationOrder(self.source, given.prompts, given.seed, sizes, given.steps, self.device)
        found = child_on_terminal("calibrating", calibrate_layers, order, self.table).value
        found.write(self.work / RANGES_FILE)
        return found

    def _bundle(self, name: str, resolutions: Sequence[int]) -> Path:
        return self.work / "bundles" / _sizes(resolutions) / name

    def _pictures(self, name: str, pictures: Sequence[Order]) -> Path:
        what = (order_digest(pictures), self.source.identity.digest, str(self.resolution), self.device)
        place = sha256_of_text(" ".join((*what, "simulated" if self.simulate else "")))[:_DIGITS]
        return self.work / "pictures" / place / name

    def drawn(self, name: str, plan: PrecisionPlan, pictures: Sequence[Order]) -> DrawnSet | None:
        """A row's pictures, if all are there, undamaged and of this plan."""
        try:
            drawn = open_drawn(self._pictures(name, pictures))
        except EvaluationError:  # drawing says what is wrong, or mends it
            return None
        manifest = drawn.manifest
        same = (
            manifest.painter.plan_digest == plan.digest
            and manifest.painter.model.digest == self.source.identity.digest
            and manifest.prompts_digest == order_digest(pictures)
        )
        return drawn if same else None


def _sizes(resolutions: Sequence[int]) -> str:
    return "-".join(map(str, resolutions))
