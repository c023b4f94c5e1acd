"""`mixdq-eval photographs`: real pictures with captions, as a set to score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer()


@app.command()
def photographs(
    folder: Annotated[
        Path, typer.Argument(help="The photographs' folder, such as COCO's val2014", show_default=False)
    ],
    captions: Annotated[Path, typer.Option(help="COCO's captions of them: captions_val2014.json.")],
    out: Annotated[Path, typer.Option(help="The folder of the set, new or empty.")],
    resolution: Annotated[int, typer.Option(min=1, help="Pixels of each side.")],
    count: Annotated[
        int | None, typer.Option(min=1, help="Take so many photographs. (default: all that follow)")
    ] = None,
    start: Annotated[int, typer.Option(min=0, help="Begin with this photograph, counted from 0.")] = 0,
    allow_duplicates: Annotated[
        bool, typer.Option("--allow-duplicates", help="Let two photographs have one caption.")
    ] = False,
) -> None:
    """Make a set of photographs with their captions, which mixdq-eval quality scores as it does drawn ones.

    Each photograph has its first caption, and they stand in the order in which mixdq-eval images draws the
    captions of the same file. The middle square of each is resized, as CLIP does, and written as PNG beside a
    manifest.json.
    """
    from mixdq.eval.images.coco import read_photographs
    from mixdq.eval.images.order import order_pictures
    from mixdq.eval.images.photographs import write_photographs

    listed = read_photographs(captions)
    prompts = [each.caption for each in listed]
    orders = order_pictures(prompts, seed=0, start=start, count=count, allow_duplicates=allow_duplicates)
    with Console(stderr=True).status("") as status:
        made = write_photographs(
            folder,
            listed,
            orders,
            captions=captions,
            resolution=resolution,
            out=out,
            report=lambda done, total: status.update(f"photographs: {done} of {total}"),
        )
    print(f"{out}: {len(made.images)} photographs of {resolution} pixels, each with its caption")
