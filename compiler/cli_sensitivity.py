"""The command of `mixdq-compile` that measures how much each layer minds few bits: `sensitivity`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mixdq.compiler import options as o
from mixdq.compiler.recipe import Calibration, read_prompts
from mixdq.compiler.sensitivity.order import SensitivityOrder, check_mixdq, parse_widths
from mixdq.configs.console import stdout_console
from mixdq.configs.presets import preset_for
from mixdq.configs.ranges import RangeTable
from mixdq.export.source import SourceModel, open_source

app = typer.Typer()

_WHAT, _HOW, _PART = "What is measured", "How it is computed", "Parts"
_PROMPTS = 32


@app.command()
def sensitivity(
    model: o.Model,
    out: Annotated[Path, typer.Option("--out", help="The sensitivity.json to write.")],
    weights: o.Weights = None,
    variant: o.Variant = None,
    lora: o.Loras = None,
    vae: o.Vae = None,
    vae_precision: o.Precisions = "float32",
    scheduler: o.Sampler = None,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", help="One a line. (default: the preset's)", rich_help_panel=_WHAT),
    ] = None,
    prompt_count: Annotated[
        int, typer.Option("--prompt-count", help="How many of them.", rich_help_panel=_WHAT)
    ] = _PROMPTS,
    seed: Annotated[
        int, typer.Option("--seed", help="Prompt i starts from the noise of SEED + i.", rich_help_panel=_WHAT)
    ] = o.DEFAULT_SEED,
    resolution: Annotated[
        int | None,
        typer.Option(
            "--resolution",
            help="Pixels. (default: 512 for SDXL-Turbo, else the model's smallest)",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    weight_widths: Annotated[
        str,
        typer.Option("--weight-widths", help="Bits, 2 to 8, or `none`.", rich_help_panel=_WHAT),
    ] = "2,4,8",
    activation_widths: Annotated[
        str,
        typer.Option("--activation-widths", help="Bits, 2 to 8, or `none`.", rich_help_panel=_WHAT),
    ] = "2,4,8",
    no_bos_aware: Annotated[
        bool,
        typer.Option(
            "--no-bos-aware", help="Quantize token 0 of the text with the others.", rich_help_panel=_WHAT
        ),
    ] = False,
    every_metric: Annotated[
        bool,
        typer.Option(
            "--every-metric",
            help="Judge quality layers by pictures too; about twice the time.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    ranges: Annotated[
        Path | None,
        typer.Option(
            "--ranges",
            help="A ranges.json. (default: calibrate over the same prompts, into OUT's name.ranges.json)",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device", help="cpu or cuda. (default: cuda if torch finds a GPU)", rich_help_panel=_HOW
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            "--precision", help="Of text encoders and UNet: float32 or float16.", rich_help_panel=_HOW
        ),
    ] = "float32",
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch",
            help="Prompts at once, each with all variants of a layer. (default: by resolution and device)",
            rich_help_panel=_HOW,
        ),
    ] = None,
    compile_decoder: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile the VAE's decoder with torch; pays for large pictures on a GPU.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layers", help="Only layers of this pattern, as `*.attn2.*`; repeat it.", rich_help_panel=_PART
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            help="Only so many layers, evenly spread, and how long all would take.",
            rich_help_panel=_PART,
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Measure anew: drop what an earlier run measured.", rich_help_panel=_PART
        ),
    ] = False,
    mixdq: Annotated[
        Path | None, typer.Option("--mixdq", help="Also write MixDQ's YAML tables into this folder.")
    ] = None,
) -> None:
    """Quantize one layer at a time, weights and activations apart, and measure what it costs.

    Content layers are judged by SSIM of the pictures, quality layers by SQNR of the UNet's output. Every
    finished layer is kept at once in OUT.journal: the same command goes on where it was stopped.
    """
    source = open_source(o.choice_of(model, weights, variant, vae, vae_precision, lora, scheduler))
    widths = parse_widths(weight_widths, activation_widths)
    if mixdq is not None:
        check_mixdq(widths)
    # Calibration's bounds of the seed hold for the measurement's, too.
    asked = Calibration(
        read_prompts(prompts or preset_for(source.identity.name).prompts_file, prompt_count), seed
    )
    order = SensitivityOrder(
        source=source,
        prompts=asked.prompts,
        seed=asked.seed,
        resolution=_usual_resolution(source) if resolution is None else resolution,
        widths=widths,
        bos_aware=not no_bos_aware,
        every_metric=every_metric,
        ranges=None if ranges is None else RangeTable.read(ranges),
        device=device,
        precision=precision,
        batch=batch,
        compile_decoder=compile_decoder,
        layers=tuple(layers or ()),
        sample=sample,
        out=out,
        restart=restart,
    )
    _measure(order, mixdq)


def _measure(order: SensitivityOrder, mixdq: Path | None) -> None:
    from mixdq.compiler.sensitivity.journal import finished_layers
    from mixdq.compiler.sensitivity.measure import measure
    from mixdq.compiler.sensitivity.summary import summary
    from mixdq.compiler.sensitivity.watch import watching
    from mixdq.compiler.worker import run_in_child
    from mixdq.configs.mixdq_format.scores import score_files_of_table
    from mixdq.configs.sensitivity import SensitivityTable

    totals: list[int] = []

    def count(phase: str, done: int, total: int | None) -> None:
        if phase.startswith("layers") and total is not None:
            totals[:] = [total]
        report(phase, done, total)

    try:
        with watching("sensitivity", Console(stderr=True)) as report:
            done = run_in_child(measure, order, report=count)
    except KeyboardInterrupt:
        if totals:
            print(
                f"measured {finished_layers(order.journal)} of {totals[0]} layers, kept in {order.journal}",
                file=sys.stderr,
            )
        raise
    console = stdout_console()
    for part in summary(done.value, done.peak_mib):
        console.print(part, soft_wrap=isinstance(part, str), highlight=False)
    table = done.value.table
    if table is None and done.value.finished is not None:
        table = SensitivityTable.read(done.value.finished)
    elif table is not None:
        print(f"written: {order.out}")
    if table is None:
        return
    if mixdq is not None:
        for name, file in score_files_of_table(table).items():
            file.write(mixdq / name)
            print(f"written: {mixdq / name}")


def _usual_resolution(source: SourceModel) -> int:
    return min(preset_for(source.identity.name).calibration_resolutions or source.resolutions)
