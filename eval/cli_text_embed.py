"""`mixdq-eval text-embed`: what quantizing the text embedding alone costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.console import stdout_console
from mixdq.eval.text_embed_report import TextEmbed

app = typer.Typer()


@app.command()
def text_embed(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder: its model, layers and ranges are used.")],
    way: Annotated[
        list[TextEmbed] | None,
        typer.Option("--text-embed", help="fp8, int8 or bos; may be repeated. (default: all)"),
    ] = None,
    out: Annotated[Path, typer.Option(help="The report.")] = Path("text-embed.json"),
    prompts: Annotated[Path | None, typer.Option(help="One a line. (default: the preset's)")] = None,
    prompt_count: Annotated[int, typer.Option(help="How many of them.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Prompt i starts from the noise of SEED + i.")] = 0,
    resolution: Annotated[int | None, typer.Option(help="Pixels. (default: the bundle's smallest)")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model that it was compiled from. (default: the one that it names)")
    ] = None,
) -> None:
    """Quantize the text embedding as FP8, as INT8, or as INT8 without token 0, and nothing else.

    Simulated in torch, against full precision: the comparison of the paper's figure 9.
    """
    # What compiles takes seconds to import: not for --help.
    from rich.console import Console

    from mixdq.compiler.recipe import read_prompts
    from mixdq.compiler.sensitivity.watch import watching
    from mixdq.configs.presets import preset_for
    from mixdq.eval.compare.subject import open_subject
    from mixdq.eval.text_embed import measure_text_embed

    subject = open_subject(bundle, model, resolution)
    file = prompts or preset_for(subject.source.identity.name).prompts_file
    drawn = read_prompts(file, prompt_count)
    with watching("text-embed", Console(stderr=True)) as say:
        report = measure_text_embed(subject, way or list(TextEmbed), drawn, seed, say)
    report.write(out)
    stdout_console().print(report.table(), highlight=False)
    print(f"written: {out}")
