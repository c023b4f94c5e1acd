"""`mixdq-eval`: the commands that compare back ends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.console import stdout_console

app = typer.Typer()

Model = Annotated[
    str | None, typer.Option(help="The model that it was compiled from. (default: the one that it names)")
]
Resolution = Annotated[int | None, typer.Option(help="Pixels. (default: the bundle's smallest)")]
Prompt = Annotated[str, typer.Option(help="What to draw.")]
Seed = Annotated[int, typer.Option(min=0, help="The noise.")]


@app.command()
def compare(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    out: Annotated[Path, typer.Option(help="The folder for compare.json and Polygraphy's files.")],
    resolution: Resolution = None,
    prompt: Prompt = "red apple",
    seed: Seed = 0,
    target: Annotated[
        list[str] | None, typer.Option(help="One of its targets; may be repeated. All if not given.")
    ] = None,
    model: Model = None,
    save_blocks: Annotated[
        bool, typer.Option("--save-blocks", help="Save every block's output, not only those outside.")
    ] = False,
) -> None:
    """Run a bundle's UNet in every back end on the same inputs; compare its output and blocks.

    Full precision and the quantized graphs in ONNX Runtime, engines where a GPU can run them, by Polygraphy.
    The bounds come from the plan's simulation in torch. Exit code 0 if all that ran is within them, 1 if not,
    2 on bad input.
    """
    # The compiler's libraries take seconds to import: not for --help.
    from mixdq.eval.compare.comparison import compare as run_compare
    from mixdq.eval.compare.files import write_files
    from mixdq.eval.compare.report import COMPARE_FILE
    from mixdq.eval.compare.subject import open_subject

    console = stdout_console()
    with console.status("") as status:

        def report(phase: str, done: int, total: int | None) -> None:
            status.update(phase)

        subject = open_subject(bundle, model, resolution)
        found = run_compare(subject, target or (), prompt, seed, report)
        written = write_files(found, out, save_blocks=save_blocks, report=report)
    for table in written.tables():
        console.print(table)
    for line in written.lines():
        console.print(line, highlight=False, soft_wrap=True)
    size = f"Polygraphy's files: {sum(written.files.values()) / (1 << 20):.1f} MiB"
    console.print(f"figures: {out / COMPARE_FILE}   {size}", highlight=False)
    if not written.within:
        raise typer.Exit(1)


@app.command()
def reduce(
    graph: Annotated[Path, typer.Argument(help="A bundle's folder, or one of its UNet graphs, or a copy.")],
    out: Annotated[Path, typer.Option(help="The folder for reduce.json and the guilty layers.")],
    bundle: Annotated[
        Path | None, typer.Option(help="Of a copy: the bundle that it comes from. (default: around GRAPH)")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Pixels. (default: the graph's)")] = None,
    prompt: Prompt = "red apple",
    seed: Seed = 0,
    model: Model = None,
) -> None:
    """Name the layer that makes a quantized UNet graph fail, and write that layer by itself.

    Every layer runs alone, on the input that it has in the plan's simulation. Exit code 0 if none deviates,
    1 if one does, 2 on bad input.
    """
    from mixdq.eval.compare.reduction import REDUCE_FILE
    from mixdq.eval.compare.reduction import reduce as run_reduce

    console = stdout_console()
    with console.status("") as status:

        def report(phase: str, done: int, total: int | None) -> None:
            status.update(phase if total is None else f"{phase} {done} of {total}")

        found = run_reduce(
            graph,
            out,
            bundle=bundle,
            model=model,
            resolution=resolution,
            prompt=prompt,
            seed=seed,
            report=report,
        )
    if not found.sound:
        console.print(found.table())
    for line in found.lines():
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"figures: {out / REDUCE_FILE}", highlight=False)
    if not found.sound:
        raise typer.Exit(1)
