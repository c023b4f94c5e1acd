"""The pictures of one row: its plan compiled, its prompts drawn, its bundle removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.options import jobs_of
from mixdq.compiler.progress import terminal_watch
from mixdq.compiler.recipe import Calibration, Recipe
from mixdq.compiler.run import run
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import remove, sha256_of_text
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import CalibrationRun
from mixdq.configs.target import Layout, Target
from mixdq.eval.ablation.cases import Case
from mixdq.eval.images.bundle_source import bundle_source
from mixdq.eval.images.draw import draw_set
from mixdq.eval.images.order import Order, order_digest
from mixdq.eval.quality.found import Watch
from mixdq.eval.quality.pictures import DrawnSet, open_drawn
from mixdq.export.source import SourceModel

_CPU = "cpu"
_STEPS = 1


@dataclass(frozen=True, slots=True)
class Studio:
    """What all rows are drawn with.

    Attributes:
        source: the model.
        out: the ablation's folder.
        work: the folder of export and calibration, which the rows share.
        pictures: what to draw.
        resolution: pixels.
        keep_bundles: whether the compiled rows stay when they are drawn.
        console: where to show the compiler's progress.
        watch: told of the drawing's.
        calibration: what the ranges are measured on.
    """

    source: SourceModel
    out: Path
    work: Path
    pictures: Sequence[Order]
    resolution: int
    keep_bundles: bool
    console: Console
    watch: Watch
    calibration: Calibration

    @property
    def calibration_run(self) -> CalibrationRun:
        """The calibration as the rows' range table will name it."""
        given = self.calibration
        digest = sha256_of_text("\n".join(given.prompts))
        sizes = given.resolutions or (self.resolution,)
        return CalibrationRun(len(given.prompts), digest, given.seed, sizes, given.steps)

    def folder(self, case: Case) -> Path:
        """Where a row's pictures are."""
        return self.out / "pictures" / case.name

    def draw(self, case: Case, plan: PrecisionPlan) -> DrawnSet:
        """A row's pictures; what is drawn already is not drawn again, nor compiled if all is.

        Raises:
            MixdqError: see `mixdq.compiler.run.run` and `draw_set`.
        """
        there = self._whole(case, plan)
        if there is not None:
            if not self.keep_bundles:
                remove(self._bundle(case))
            return there
        self._compile(case, plan)
        drawer = bundle_source(
            self._bundle(case),
            target=_CPU,
            device="cpu",
            resolution=self.resolution,
            steps=_STEPS,
            batch=None,
            jobs=None,
        )
        draw_set(drawer, self.pictures, self.folder(case), self.watch(f"{case.name}: drawing"))
        if not self.keep_bundles:
            remove(self._bundle(case))
        return open_drawn(self.folder(case))

    def _bundle(self, case: Case) -> Path:
        return self.out / "bundles" / case.name

    def _whole(self, case: Case, plan: PrecisionPlan) -> DrawnSet | None:
        """The pictures, if all are there, undamaged and of this plan."""
        try:
            drawn = open_drawn(self.folder(case))
        except EvaluationError:  # drawing says what is wrong, or mends it
            return None
        manifest = drawn.manifest
        same = (
            manifest.painter.plan_digest == plan.digest
            and manifest.painter.model.digest == self.source.identity.digest
            and manifest.prompts_digest == order_digest(self.pictures)
        )
        return drawn if same else None

    def _compile(self, case: Case, plan: PrecisionPlan) -> None:
        recipe = Recipe(
            choice=self.source.choice,
            targets=(Target.parse(_CPU),),
            resolutions=(self.resolution,),
            batch=1,
            plan=plan,
            ranges=self.calibration,
            layout=Layout.PER_RESOLUTION,
            build=BuildOptions(timing_cache=None, strip_weights=False),
        )
        self.watch(f"{case.name}: compiling")  # takes the last phase's bar away
        with terminal_watch(self.console) as watch:
            run(
                recipe,
                self._bundle(case),
                work=self.work,
                jobs=jobs_of(None),
                watch=watch,
                source=self.source,
            )
