"""`mixdq-compile`: from a model to engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from mixdq.compiler import options as o
from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.cli_allocate import allocation
from mixdq.compiler.cli_explain import explanation
from mixdq.compiler.cli_lint import linting
from mixdq.compiler.cli_search import app as search_app
from mixdq.compiler.cli_sensitivity import app as sensitivity_app
from mixdq.compiler.cli_show import show
from mixdq.compiler.cli_targets import legality
from mixdq.compiler.cli_tune import app as tune_app
from mixdq.compiler.cuda.stage import kernels_gpu, tiles_in_words
from mixdq.compiler.pipeline import Goal, require_graphs
from mixdq.compiler.plan_words import PlanWords
from mixdq.compiler.progress import child_on_terminal, terminal_watch
from mixdq.compiler.recipe import Recipe, Uniform
from mixdq.compiler.run import run as bring_up_to_date
from mixdq.compiler.run import say_what_ran
from mixdq.compiler.saved_recipe import SavedRecipe
from mixdq.compiler.torch_stages import CalibrationOrder, measure_ranges
from mixdq.compiler.verify import in_words
from mixdq.compiler.verify import verify as verify_bundle
from mixdq.configs.console import run_app, stdout_console
from mixdq.configs.precision import FP16
from mixdq.configs.target import Layout
from mixdq.export.source import SourceModel, open_source

app = typer.Typer(
    name="mixdq-compile",
    help="Compile SDXL-Turbo, and models of its kind, into mixed-precision engines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(show)
app.add_typer(linting)
app.add_typer(allocation)
app.add_typer(sensitivity_app)
app.add_typer(search_app)
app.add_typer(legality)
app.add_typer(explanation)
app.add_typer(tune_app)


def _from_model(goal: Goal) -> Callable[..., None]:
    """The function of a command that begins with a model and goes as far as `goal`."""

    def command(
        model: o.Model,
        out: o.Out,
        target: o.Targets = None,
        resolution: o.Resolutions = None,
        layout: o.LayoutName = Layout.PER_RESOLUTION,
        batch: o.Batch = 1,
        weights: o.Weights = None,
        variant: o.Variant = None,
        lora: o.Loras = None,
        vae: o.Vae = None,
        vae_precision: o.Precisions = "float32",
        scheduler: o.Sampler = None,
        plan: o.PlanFile = None,
        weight_bits: o.WeightBits = None,
        activation_bits: o.ActivationBits = None,
        uniform: o.SameBits = False,
        keep: o.Keep = None,
        protect: o.Protect = None,
        no_protect: o.NoProtect = False,
        no_bos_aware: o.NoBosAware = False,
        no_split_shortcuts: o.NoSplit = False,
        weight_clipping: o.WeightClipping = None,
        activations: o.ActivationCentres = None,
        prompts: o.Prompts = None,
        prompt_count: o.PromptCount = None,
        seed: o.Seed = None,
        calibration_resolution: o.CalibrationResolutions = None,
        calibration_steps: o.CalibrationSteps = None,
        ranges: o.Ranges = None,
        timing_cache: o.TimingCache = None,
        strip_weights: o.StripWeights = False,
        tiles: o.Tiles = None,
        work: o.Work = None,
        jobs: o.Jobs = None,
    ) -> None:
        words = PlanWords(
            file=plan,
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            uniform=uniform,
            keep=keep,
            protect=protect,
            no_protect=no_protect,
            no_bos_aware=no_bos_aware,
            no_split=no_split_shortcuts,
            weight_clipping=weight_clipping,
            activations=activations,
        )
        source = open_source(o.choice_of(model, weights, variant, vae, vae_precision, lora, scheduler))
        targets = o.targets_of(target)
        chosen = words.choose(source.identity, targets)
        recipe = Recipe(
            choice=source.choice,
            targets=targets,
            resolutions=o.resolutions_of(source, resolution),
            batch=batch,
            plan=chosen.plan,
            ranges=o.ranges_of(
                ranges, source, prompts, prompt_count, seed, calibration_resolution, calibration_steps
            ),
            layout=layout,
            build=BuildOptions(timing_cache=timing_cache, strip_weights=strip_weights, tiles=tiles),
        )
        print(f"plan: {chosen.words}")
        if (on := kernels_gpu(targets)) is not None:
            print(f"kernels' tiles: {tiles_in_words(tiles, on)}")
        _make(recipe, source, out, work, jobs, goal)

    return command


app.command(
    "run",
    help="Do all of it: export, calibrate, quantize, build, into a bundle; what is up to date is not redone.",
)(_from_model(Goal.BUNDLE))
app.command(
    "quantize",
    help="Write the quantized graphs that the targets' builders read; `build` goes on from there.",
)(_from_model(Goal.GRAPHS))


@app.command()
def build(
    folder: Annotated[Path, typer.Argument(help="A folder that `quantize` or `run` wrote.")],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", help="What to build for; repeat it. (default: what the folder was made for)"
        ),
    ] = None,
    jobs: o.Jobs = None,
) -> None:
    """Build the engines of a quantized folder, and make it a bundle."""
    saved = SavedRecipe.read(folder)
    recipe = saved.recipe(folder)
    if target:
        recipe = replace(recipe, targets=o.targets_of(target))
    _make(recipe, open_source(recipe.choice), folder, folder / saved.work, jobs, Goal.BUNDLE)


@app.command()
def export(
    model: o.Model,
    out: o.Out,
    target: o.Targets = None,
    resolution: o.Resolutions = None,
    layout: o.LayoutName = Layout.PER_RESOLUTION,
    batch: o.Batch = 1,
    weights: o.Weights = None,
    variant: o.Variant = None,
    lora: o.Loras = None,
    vae: o.Vae = None,
    vae_precision: o.Precisions = "float32",
    work: o.Work = None,
    jobs: o.Jobs = None,
) -> None:
    """Write the full-precision ONNX graphs, in the form that the targets' builders read."""
    source = open_source(o.choice_of(model, weights, variant, vae, vae_precision, lora, None))
    recipe = Recipe(
        choice=source.choice,
        targets=o.targets_of(target),
        resolutions=o.resolutions_of(source, resolution),
        batch=batch,
        plan=Uniform(FP16, (), (), bos_aware=False, split_shortcuts=False),
        ranges=o.calibration_of(source, None, None, None, None, None),
        layout=layout,
        build=BuildOptions(timing_cache=None, strip_weights=False),
    )
    _make(recipe, source, out, work, jobs, Goal.GRAPHS)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A bundle's folder.", show_default=False)],
    resolution: Annotated[
        int | None,
        typer.Option("--resolution", help="Pixels to compare at. (default: the bundle's smallest)"),
    ] = None,
    prompt: Annotated[str, typer.Option("--prompt", help="What to draw.")] = "a photo of a cat",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the noise.")] = 0,
) -> None:
    """Check a bundle: digests, form of the graphs, the quantized UNet against full precision."""
    with terminal_watch(Console(stderr=True)) as watch:
        found = verify_bundle(folder, resolution=resolution, prompt=prompt, seed=seed, report=watch.step)
    console = stdout_console()
    for part in in_words(found):
        console.print(part, soft_wrap=isinstance(part, str))


@app.command()
def calibrate(
    model: o.Model,
    out: Annotated[Path, typer.Option("--out", help="The ranges.json to write.")],
    resolution: o.Resolutions = None,
    weights: o.Weights = None,
    variant: o.Variant = None,
    lora: o.Loras = None,
    prompts: o.Prompts = None,
    prompt_count: o.PromptCount = None,
    seed: o.Seed = None,
    calibration_steps: o.CalibrationSteps = None,
    device: Annotated[
        str, typer.Option("--device", help="cpu, or cuda for the whole model in FP32 on a GPU.")
    ] = "cpu",
) -> None:
    """Run prompts through the model and write every layer's range; one table serves every plan.

    The same command goes on where it was stopped: OUT.begun holds what it found until then.
    """
    source = open_source(o.choice_of(model, weights, variant, None, "float32", lora, None))
    sizes = o.resolutions_of(source, resolution)
    calibration = o.calibration_of(source, prompts, prompt_count, seed, sizes, calibration_steps)
    order = CalibrationOrder(source, calibration.prompts, calibration.seed, sizes, calibration.steps, device)
    done = child_on_terminal("calibrate", measure_ranges, order, out)
    print(f"{out}: {len(done.value.layers)} layers, {done.seconds:.1f} s, {done.peak_mib:.0f} MiB")


def _make(
    recipe: Recipe, source: SourceModel, out: Path, work: Path | None, jobs: int | None, goal: Goal
) -> None:
    if goal is Goal.GRAPHS:
        require_graphs(recipe.targets)
    with terminal_watch(Console(stderr=True)) as watch:
        ran = bring_up_to_date(
            recipe, out, work=work, jobs=o.jobs_of(jobs), watch=watch, goal=goal, source=source
        )
    say_what_ran(out, ran)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The command `mixdq-compile`."""
    run_app(app, argv)


if __name__ == "__main__":
    main()
