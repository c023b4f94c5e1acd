"""The three ways in which the demo compiles one model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.builders import require_builder
from mixdq.compiler.options import calibration_of, jobs_of, resolutions_of
from mixdq.compiler.progress import terminal_watch
from mixdq.compiler.recipe import Recipe, Uniform
from mixdq.compiler.run import run
from mixdq.configs.errors import TargetError
from mixdq.configs.layers import LayerName
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.target import Layout, Target
from mixdq.export.source import SourceModel

RTX = Target.parse("rtx:sm89")
_CPU = Target.parse("cpu")
_CALIBRATION_PROMPTS = 32
_CALIBRATION_SEED = 0


@dataclass(frozen=True, slots=True)
class Variant:
    """A way of compiling: the folder of its bundle, its name for people, its plan."""

    folder: str
    name: str
    plan: Uniform
    for_rtx: bool


def variants(protect: tuple[LayerName, ...]) -> tuple[Variant, Variant, Variant]:
    """Full precision, W8A8 as MixDQ does it but for BOS-awareness, and W8A8 as MixDQ does it.

    Args:
        protect: the layers whose activation MixDQ leaves in floating point.
    """
    w8a8 = Precision(8, 8)
    return (
        Variant("full", "full precision", Uniform(FP16, (), (), False, False), for_rtx=True),
        Variant("no-bos", "W8A8, no BOS", Uniform(w8a8, (), protect, False, True), for_rtx=False),
        Variant("mixdq", "W8A8, MixDQ", Uniform(w8a8, (), protect, True, True), for_rtx=True),
    )


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
        plan=variant.plan,
        ranges=calibration_of(source, None, _CALIBRATION_PROMPTS, _CALIBRATION_SEED, None, None),
        layout=Layout.PER_RESOLUTION,
        build=BuildOptions(timing_cache=None, strip_weights=False),
    )
    with terminal_watch(console) as watch:
        ran = run(
            recipe, out / variant.folder, work=out / "work", jobs=jobs_of(None), watch=watch, source=source
        )
    return 0.0 if ran.was_up_to_date else round(ran.seconds, 1)
