"""`mixdq-eval report`: one page of everything that was found."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.console import stdout_console

app = typer.Typer()


@app.command()
def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="Folders that hold results, at any depth; or single documents."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The page; .json and .csv with its figures are written beside it.")
    ] = Path("report.html"),
) -> None:
    """Make one self-contained HTML page of the results that folders hold.

    It shows pictures, quality, latency, memory, trade-offs, bits, sensitivities, load tests and claims, as
    far as there are documents of them, and every document's SHA-256. Unknown files are let be; results of
    different machines, versions or numbers of pictures stand apart.
    """
    from mixdq.eval.report.make import make_report

    command = shlex.join(["mixdq-eval", "report", *map(str, folders), "--out", str(out)])
    page, *others = make_report(folders, out, command)
    console = stdout_console()
    size = page.stat().st_size / 1e6
    console.print(f"page: {page} ({size:.1f} MB)", highlight=False, soft_wrap=True)
    console.print(f"figures: {', '.join(map(str, others))}", highlight=False, soft_wrap=True)
