"""A grid's bundles: compiled where they are not up to date, told apart by what they run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.options import jobs_of
from mixdq.compiler.progress import terminal_watch
from mixdq.compiler.recipe import Calibration, Recipe
from mixdq.compiler.run import run
from mixdq.compiler.saved_recipe import LAYERS_FILE, PLAN_FILE
from mixdq.configs.bundle import BUNDLE_FILE, Bundle
from mixdq.configs.documents import to_plain
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file, sha256_of_text
from mixdq.configs.grid_table import GridPlan
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Layout, Target
from mixdq.eval.grid.candidates import Candidate, twins
from mixdq.export.source import SourceModel


@dataclass(frozen=True, slots=True)
class Compiling:
    """What all rows are compiled with.

    Attributes:
        source: the model.
        targets: what to build for.
        resolutions: pixels.
        batch: pictures at once.
        ranges: what the activations' ranges are measured on, or a table of them.
        out: the folder of the bundles.
        work: of export and calibration, which all rows share.
        console: where to show the compiler's progress.
    """

    source: SourceModel
    targets: tuple[Target, ...]
    resolutions: tuple[int, ...]
    batch: int
    ranges: Calibration | RangeTable
    out: Path
    work: Path
    console: Console

    def bundle(self, candidate: Candidate) -> Path:
        """The bundle of a row, brought up to date.

        Raises:
            MixdqError: see `mixdq.compiler.run.run`.
        """
        assert candidate.plan is not None
        recipe = Recipe(
            choice=self.source.choice,
            targets=self.targets,
            resolutions=self.resolutions,
            batch=self.batch,
            plan=candidate.plan,
            ranges=self.ranges,
            layout=Layout.PER_RESOLUTION,
            build=BuildOptions(timing_cache=None, strip_weights=False),
        )
        folder = self.out / candidate.name
        with terminal_watch(self.console) as watch:
            run(recipe, folder, work=self.work, jobs=jobs_of(None), watch=watch, source=self.source)
        return folder


def built_plan(candidate: Candidate, folder: Path) -> GridPlan:
    """The row of a bundle.

    Raises:
        BundleError: there is no bundle, or no readable one.
        EvaluationError: it lacks the files that say its bits.
    """
    bundle = Bundle.read(folder)
    if missing := [name for name in (PLAN_FILE, LAYERS_FILE) if not (folder / name).is_file()]:
        raise EvaluationError(
            f"{folder} has no {' and no '.join(missing)}, which say its bits; take the folder that "
            "`mixdq-compile run` wrote"
        )
    plan, table = PrecisionPlan.read(folder / PLAN_FILE), LayerTable.read(folder / LAYERS_FILE)
    weight, activation = plan.mean_bits(table)
    return GridPlan(
        name=candidate.name,
        words=candidate.words,
        summary=bundle.plan_summary,
        weight_bits=round(weight, 4),
        activation_bits=round(activation, 4),
        quantizes=plan.quantizes,
        plan_digest=bundle.plan_digest,
        config_digest=config_digest(bundle),
        bundle=str(folder),
        bundle_sha256=sha256_of_file(folder / BUNDLE_FILE),
    )


def config_digest(bundle: Bundle) -> str:
    """SHA-256 over all that decides what a bundle runs: model, plan, ranges, sampler, sizes, back ends."""
    targets = sorted({engine.target for engine in bundle.engines})
    what = {
        "model": bundle.model.digest,
        "plan": bundle.plan_digest,
        "layers": bundle.layers_digest,
        "ranges": bundle.ranges_digest,
        "pipeline": to_plain(bundle.pipeline),
        "sizes": [*bundle.resolutions, bundle.batch],
        "targets": targets,
    }
    return sha256_of_text(json.dumps(what, sort_keys=True))


def engines_digest(engines: Mapping[str, Mapping[str, str]]) -> str:
    """SHA-256 over the contents of engine files, whatever they are called; of `Subject.engines`."""
    contents = {stage: sorted(files.values()) for stage, files in engines.items()}
    return sha256_of_text(json.dumps(contents, sort_keys=True))


def check_apart(plans: Sequence[GridPlan]) -> None:
    """Refuses rows of one configuration.

    Raises:
        EvaluationError: names two of them.
    """
    seen: dict[str, str] = {}
    for plan in plans:
        first = seen.setdefault(plan.config_digest, plan.name)
        if first != plan.name:
            raise twins(first, plan.name, f"config digest {plan.config_digest[:12]}")
