"""The ways in which the demo compiles one model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.builders import require_builder
from mixdq.compiler.options import calibration_of, jobs_of, resolutions_of
from mixdq.compiler.plan_words import PlanWords
from mixdq.compiler.progress import terminal_watch
from mixdq.compiler.recipe import Recipe
from mixdq.compiler.run import run
from mixdq.compiler.searched_plan import ChosenPlan, why_no_search
from mixdq.configs.errors import TargetError
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.target import Layout, Target
from mixdq.export.source import SourceModel

RTX = Target.parse("rtx:sm89")
_CPU = Target.parse("cpu")
_CALIBRATION_PROMPTS = 32
_CALIBRATION_SEED = 0
_NO_BOS = "No BOS: the next plan, but without BOS-awareness."
_UNIFORM = "the same bits in every layer, activations of the layers that the preset protects in FP16"
_SEARCHED = (
    "Uniform: the same bits in every layer. MixDQ: as many in the mean, chosen by the search that ships."
)


@dataclass(frozen=True, slots=True)
class Variant:
    """A way of compiling: the folder of its bundle, its name for people, its plan and where that is from."""

    folder: str
    name: str
    chosen: ChosenPlan
    for_rtx: bool


@dataclass(frozen=True, slots=True)
class Variants:
    """The ways to compare, full precision first, and what their names stand for."""

    ways: tuple[Variant, ...]
    note: str

    @classmethod
    def of(cls, model: ModelIdentity) -> Variants:
        """Full precision; W8A8, also without BOS-awareness; W4A8.

        Where a search ships, W8A8 is MixDQ's plan of these means, and W4A8 is uniform and MixDQ's side by
        side. Elsewhere all plans are uniform: the same bits in every layer, the preset's protected.
        """
        full, eight = _choose(model, 16, 16), _choose(model, 8, 8)
        uniform, mixed = _choose(model, 4, 8, uniform=True), _choose(model, 4, 8)
        searched = isinstance(eight.plan, PrecisionPlan)
        ways = [
            Variant("full", "full precision", full, for_rtx=True),
            Variant("no-bos", "W8A8, no BOS", _without_bos(eight), for_rtx=False),
            Variant("mixdq", "W8A8, MixDQ" if searched else "W8A8, uniform", eight, for_rtx=True),
            Variant("w4a8", "W4A8, uniform", replace(uniform, words=_UNIFORM), for_rtx=False),
        ]
        if not searched:
            return cls(tuple(ways), f"{_NO_BOS} All plans are uniform: {why_no_search(model)}.")
        ways.append(Variant("w4a8-mixdq", "W4A8, MixDQ", mixed, for_rtx=False))
        return cls(tuple(ways), f"{_NO_BOS} {_SEARCHED}")


def _choose(model: ModelIdentity, weights: float, activations: float, *, uniform: bool = False) -> ChosenPlan:
    words = PlanWords(
        file=None,
        weight_bits=weights,
        activation_bits=activations,
        uniform=uniform,
        keep=None,
        protect=None,
        no_protect=False,
        no_bos_aware=False,
        no_split=False,
    )
    return words.choose(model, (_CPU, RTX))


def _without_bos(chosen: ChosenPlan) -> ChosenPlan:
    return ChosenPlan(replace(chosen.plan, bos_aware=False), f"{chosen.words}, but not BOS-aware")


def rtx_obstacle() -> str | None:
    """Why engines for RTX can't be built here, or None if they can."""
    try:
        require_builder(RTX)
    except TargetError as error:
        return str(error)
    return None


def compile_variant(
    variant: Variant, source: SourceModel, out: Path, *, with_rtx: bool, console: Console
) -> float:
    """Brings a variant's bundle up to date; all variants share the export and the calibration.

    Args:
        variant: what to compile.
        source: the model; its preset decides resolutions and calibration prompts.
        out: the demo's folder.
        with_rtx: whether RTX engines can be built here.
        console: where to show progress.

    Returns:
        Seconds, or 0 if there was nothing to do.

    Raises:
        MixdqError: see `mixdq.compiler.run.run`.
    """
    recipe = Recipe(
        choice=source.choice,
        targets=(_CPU, RTX) if with_rtx and variant.for_rtx else (_CPU,),
        resolutions=resolutions_of(source, None),
        batch=1,
        plan=variant.chosen.plan,
        ranges=calibration_of(source, None, _CALIBRATION_PROMPTS, _CALIBRATION_SEED, None, None),
        layout=Layout.PER_RESOLUTION,
        build=BuildOptions(timing_cache=None, strip_weights=False),
    )
    with terminal_watch(console) as watch:
        ran = run(
            recipe, out / variant.folder, work=out / "work", jobs=jobs_of(None), watch=watch, source=source
        )
    return 0.0 if ran.was_up_to_date else round(ran.seconds, 1)
