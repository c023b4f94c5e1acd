"""The command of `mixdq-compile` that measures engines and gives back what got slower: `tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mixdq.compiler import options as o
from mixdq.configs.console import stdout_console

app = typer.Typer()

EXIT_REFUSED = 1
"""Exit code of a tuning that publishes nothing."""

_LIMITS, _MEASURING = "What a published plan keeps", "Measuring"


@app.command()
def tune(
    model: o.Model,
    out: Annotated[Path, typer.Option("--out", help="The folder of bundle, plan.yaml and tune.json.")],
    target: Annotated[
        str,
        typer.Option(
            "--target", help="cpu; rtx:sm89 or tensorrt where their GPU is.", rich_help_panel="Engines"
        ),
    ] = "cpu",
    resolution: o.Resolutions = None,
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
    ranges: o.Ranges = None,
    prompts: o.Prompts = None,
    prompt_count: o.PromptCount = None,
    timing_cache: o.TimingCache = None,
    floor: Annotated[
        float | None,
        typer.Option(
            "--floor", help="Least PSNR in dB of pictures against full precision's.", rich_help_panel=_LIMITS
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory", help="Most for the quantizable layers' weights: 1.5GiB.", rich_help_panel=_LIMITS
        ),
    ] = None,
    max_clipped: Annotated[
        float,
        typer.Option(
            "--max-clipped",
            help="Share of a layer's input that may be out of range.",
            rich_help_panel=_LIMITS,
        ),
    ] = 0.01,
    max_saturated: Annotated[
        float,
        typer.Option(
            "--max-saturated",
            help="Share by which black and white pixel values may exceed full precision's.",
            rich_help_panel=_LIMITS,
        ),
    ] = 0.05,
    allow_slower: Annotated[
        bool,
        typer.Option(
            "--allow-slower", help="Publish even if slower than full precision.", rich_help_panel=_LIMITS
        ),
    ] = False,
    repeats: Annotated[
        int, typer.Option("--repeats", help="Runs of each engine that count.", rich_help_panel=_MEASURING)
    ] = 30,
    warmup: Annotated[
        int, typer.Option("--warmup", help="Runs before them.", rich_help_panel=_MEASURING)
    ] = 5,
    pictures: Annotated[
        int, typer.Option("--pictures", help="To judge quality and clipping by.", rich_help_panel=_MEASURING)
    ] = 16,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", help="Of ONNX Runtime. (default: one a physical core)", rich_help_panel=_MEASURING
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Drop what an earlier tuning measured.", rich_help_panel=_MEASURING),
    ] = False,
    work: o.Work = None,
    jobs: o.Jobs = None,
) -> None:
    """Time a plan and full precision layer by layer, and return what got slower to floating point.

    Exit code 1 if nothing may be published: slower, black, or below the floor.
    """
    from mixdq.compiler.allocate.words import parse_memory
    from mixdq.compiler.build_options import BuildOptions
    from mixdq.compiler.plan_words import PlanWords
    from mixdq.compiler.progress import terminal_watch
    from mixdq.compiler.recipe import Recipe
    from mixdq.compiler.tune.cases import prompts_of
    from mixdq.compiler.tune.hardware import require_hardware
    from mixdq.compiler.tune.instrument import Runs
    from mixdq.compiler.tune.instruments import instrument_of
    from mixdq.compiler.tune.limits import Limits
    from mixdq.compiler.tune.order import TuneOrder
    from mixdq.compiler.tune.publishing import BUNDLE_FOLDER
    from mixdq.compiler.tune.tuning import tune_model
    from mixdq.compiler.tune.words import in_words
    from mixdq.configs.target import Layout, Target
    from mixdq.export.source import open_source

    chosen_target = Target.parse(target)
    instrument = instrument_of(chosen_target, threads)
    capability = require_hardware(chosen_target)
    limits = Limits(
        floor, None if memory is None else int(parse_memory(memory) * 2**30), max_clipped, max_saturated
    )
    source = open_source(o.choice_of(model, weights, variant, vae, vae_precision, lora, scheduler))
    words = PlanWords(plan, weight_bits, activation_bits, uniform, None, None, False, False, False)
    asked = words.choose(source.identity, [chosen_target])
    recipe = Recipe(
        choice=source.choice,
        targets=(chosen_target,),
        resolutions=o.resolutions_of(source, resolution),
        batch=batch,
        plan=asked.plan,
        ranges=o.ranges_of(ranges, source, prompts, prompt_count, None, None, None),
        layout=Layout.PER_RESOLUTION,
        build=BuildOptions(timing_cache=timing_cache, strip_weights=False),
    )
    print(f"plan: {asked.words}")
    order = TuneOrder(
        recipe=recipe,
        source=source,
        capability=capability,
        out=out.resolve(),
        work=(work or out / "work").resolve(),
        jobs=o.jobs_of(jobs),
        limits=limits,
        allow_slower=allow_slower,
        runs=Runs(warmup, repeats),
        prompts=prompts_of(source, pictures),
        seed=o.DEFAULT_SEED,
        instrument=instrument,
        restart=restart,
    )
    with terminal_watch(Console(stderr=True)) as watch:
        record = tune_model(order, watch, watch.step)
    console = stdout_console()
    for part in in_words(record):
        console.print(part, soft_wrap=isinstance(part, str), highlight=False)
    if record.published is None:
        raise typer.Exit(EXIT_REFUSED)
    print(f"published: {out / BUNDLE_FOLDER} and {out / 'plan.yaml'}; all measurements: {out / 'tune.json'}")
