"""`mixdq-compile`: from a model to engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from mixdq.compiler import options as o
from mixdq.compiler.cli_show import show
from mixdq.compiler.pipeline import Goal
from mixdq.compiler.progress import child_on_terminal, terminal_watch
from mixdq.compiler.recipe import Recipe, Uniform
from mixdq.compiler.run import run as bring_up_to_date
from mixdq.compiler.run import say_what_ran
from mixdq.compiler.saved_recipe import SavedRecipe
from mixdq.compiler.torch_stages import CalibrationOrder, find_ranges
from mixdq.configs.console import run_app
from mixdq.configs.precision import FP16
from mixdq.export.source import SourceModel, open_source

app = typer.Typer(
    name="mixdq-compile",
    help="Compile SDXL-Turbo, and models of its kind, into mixed-precision engines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(show)


@app.command()
def run(
    model: o.Model,
    out: o.Out,
    target: o.Targets = None,
    resolution: o.Resolutions = None,
    batch: o.Batch = 1,
    plan: o.PlanFile = None,
    weight_bits: o.WeightBits = None,
    activation_bits: o.ActivationBits = None,
    keep: o.Keep = None,
    protect: o.Protect = None,
    no_protect: o.NoProtect = False,
    no_bos_aware: o.NoBosAware = False,
    no_split_shortcuts: o.NoSplit = False,
    prompts: o.Prompts = None,
    prompt_count: o.PromptCount = None,
    seed: o.Seed = o.DEFAULT_SEED,
    ranges: o.Ranges = None,
    work: o.Work = None,
    jobs: o.Jobs = None,
) -> None:
    """Do all of it: export, calibrate, quantize, build, into a bundle; what is up to date is not redone."""
    words = o.PlanWords(
        plan, weight_bits, activation_bits, keep, protect, no_protect, no_bos_aware, no_split_shortcuts
    )
    source = open_source(model)
    recipe = Recipe(
        model=model,
        targets=o.targets_of(target),
        resolutions=o.resolutions_of(source, resolution),
        batch=batch,
        plan=words.plan(model),
        ranges=o.ranges_of(ranges, model, prompts, prompt_count, seed),
    )
    _make(recipe, source, out, work, jobs, Goal.BUNDLE)


@app.command()
def quantize(
    model: o.Model,
    out: o.Out,
    target: o.Targets = None,
    resolution: o.Resolutions = None,
    batch: o.Batch = 1,
    plan: o.PlanFile = None,
    weight_bits: o.WeightBits = None,
    activation_bits: o.ActivationBits = None,
    keep: o.Keep = None,
    protect: o.Protect = None,
    no_protect: o.NoProtect = False,
    no_bos_aware: o.NoBosAware = False,
    no_split_shortcuts: o.NoSplit = False,
    prompts: o.Prompts = None,
    prompt_count: o.PromptCount = None,
    seed: o.Seed = o.DEFAULT_SEED,
    ranges: o.Ranges = None,
    work: o.Work = None,
    jobs: o.Jobs = None,
) -> None:
    """Write the quantized graphs that the targets' builders read; `build` goes on from there."""
    words = o.PlanWords(
        plan, weight_bits, activation_bits, keep, protect, no_protect, no_bos_aware, no_split_shortcuts
    )
    source = open_source(model)
    recipe = Recipe(
        model=model,
        targets=o.targets_of(target),
        resolutions=o.resolutions_of(source, resolution),
        batch=batch,
        plan=words.plan(model),
        ranges=o.ranges_of(ranges, model, prompts, prompt_count, seed),
    )
    _make(recipe, source, out, work, jobs, Goal.GRAPHS)


@app.command()
def build(
    folder: Annotated[Path, typer.Argument(help="A folder that `quantize` or `run` wrote.")],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", help="What to build for; repeat it. [default: what the folder was made for]"
        ),
    ] = None,
    jobs: o.Jobs = None,
) -> None:
    """Build the engines of a quantized folder, and make it a bundle."""
    saved = SavedRecipe.read(folder)
    recipe = saved.recipe(folder)
    if target:
        recipe = replace(recipe, targets=o.targets_of(target))
    _make(recipe, open_source(recipe.model), folder, folder / saved.work, jobs, Goal.BUNDLE)


@app.command()
def export(
    model: o.Model,
    out: o.Out,
    resolution: o.Resolutions = None,
    batch: o.Batch = 1,
    target: o.Targets = None,
    work: o.Work = None,
    jobs: o.Jobs = None,
) -> None:
    """Write the full-precision ONNX graphs, in the form that the targets' builders read."""
    source = open_source(model)
    recipe = Recipe(
        model=model,
        targets=o.targets_of(target),
        resolutions=o.resolutions_of(source, resolution),
        batch=batch,
        plan=Uniform(FP16, (), (), bos_aware=False, split_shortcuts=False),
        ranges=o.calibration_of(model, None, None, o.DEFAULT_SEED),
    )
    _make(recipe, source, out, work, jobs, Goal.GRAPHS)


@app.command()
def calibrate(
    model: o.Model,
    out: Annotated[Path, typer.Option("--out", help="The ranges.json to write.")],
    resolution: o.Resolutions = None,
    prompts: o.Prompts = None,
    prompt_count: o.PromptCount = None,
    seed: o.Seed = o.DEFAULT_SEED,
) -> None:
    """Run prompts through the model and write every layer's range; one table serves every plan."""
    source = open_source(model)
    calibration = o.calibration_of(model, prompts, prompt_count, seed)
    order = CalibrationOrder(model, calibration.prompts, seed, o.resolutions_of(source, resolution))
    done = child_on_terminal("calibrate", find_ranges, order)
    done.value.write(out)
    print(f"{out}: {len(done.value.layers)} layers, {done.seconds:.1f} s, {done.peak_mib:.0f} MiB")


def _make(
    recipe: Recipe, source: SourceModel, out: Path, work: Path | None, jobs: int | None, goal: Goal
) -> None:
    with terminal_watch(Console(stderr=True)) as watch:
        ran = bring_up_to_date(
            recipe, out, work=work, jobs=o.jobs_of(jobs), watch=watch, goal=goal, source=source
        )
    say_what_ran(out, ran)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The command `mixdq-compile`."""
    run_app(app, argv)
