"""`mixdq-eval deployed`: what of a plan arrives on each target."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.console import stdout_console
from mixdq.configs.quantizing import Activations

app = typer.Typer()


@app.command()
def deployed(
    bundle: Annotated[
        Path, typer.Argument(help="A bundle's folder: its model, layers, ranges and export are used.")
    ],
    plan: Annotated[
        list[Path] | None, typer.Option(help="A plan to deploy; may be repeated. (default: the bundle's)")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="rtx:sm89, tensorrt:sm90, cpu; may be repeated. (default: all that are built)"),
    ] = None,
    activations: Annotated[
        Activations, typer.Option(help="What INT8 is about where zero points are refused.")
    ] = Activations.PLAIN,
    out: Annotated[Path, typer.Option(help="The report; a CSV is written beside it.")] = Path(
        "deployed.json"
    ),
    prompts: Annotated[Path | None, typer.Option(help="One a line. (default: the preset's)")] = None,
    prompt_count: Annotated[int, typer.Option(help="How many of them.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Prompt i starts from the noise of SEED + i.")] = 0,
    resolution: Annotated[int | None, typer.Option(help="Pixels. (default: the bundle's smallest)")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model that it was compiled from. (default: the one that it names)")
    ] = None,
) -> None:
    """Draw with each target's graph of a plan, and compare with the simulation of the plan as it was meant.

    The plan is made legal for each target, written as that target's builder reads it, and run in ONNX
    Runtime: this needs no GPU, and says nothing of the kernels that an engine will choose.
    """
    # What compiles takes seconds to import: not for --help.
    from rich.console import Console

    from mixdq.compiler.sensitivity.watch import watching
    from mixdq.eval.deployed import measure_deployed
    from mixdq.eval.deployed_order import open_order

    order = open_order(
        bundle,
        plans=plan or (),
        targets=target or (),
        activations=activations,
        prompts=prompts,
        prompt_count=prompt_count,
        seed=seed,
        resolution=resolution,
        model=model,
    )
    with watching("deployed", Console(stderr=True)) as say:
        report = measure_deployed(order, say)
    report.write(out)
    table = out.with_suffix(".csv")
    report.write_csv(table)
    for part in report.in_words():
        stdout_console().print(part, soft_wrap=isinstance(part, str), highlight=False)
    print(f"written: {out}\nwritten: {table}")
