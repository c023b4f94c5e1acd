"""`mixdq-eval claims` and `structure`: what results say to the source documents' claims."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.console import stdout_console

app = typer.Typer()


@app.command()
def claims(
    folders: Annotated[list[Path], typer.Argument(help="Folders of results, or single documents.")],
    out: Annotated[
        Path | None, typer.Option(help="The page, as Markdown; a summary alone if not given.")
    ] = None,
) -> None:
    """Hold the claims of the paper and of the earlier experiment against results: which are met, unmet."""
    from mixdq.configs.files import write_text
    from mixdq.eval.report.claims import judge_claims
    from mixdq.eval.report.claims_page import claims_page, counts_in_words
    from mixdq.eval.report.claims_verdict import State
    from mixdq.eval.report.found import find_results

    verdicts = judge_claims(find_results(folders))
    words = ["mixdq-eval", "claims", *map(str, folders), *(["--out", str(out)] if out else [])]
    if out is not None:
        write_text(out, claims_page(verdicts, shlex.join(words)))
    console = stdout_console()
    console.print(counts_in_words(verdicts), highlight=False)
    for verdict in verdicts:
        if verdict.state is State.UNMET:
            line = f"{verdict.claim.number}. {verdict.claim.says}: {verdict.by_how_much}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command()
def structure(
    out: Annotated[Path, typer.Option(help="The figures, as JSON.")],
    released: Annotated[
        Path | None, typer.Option(help="A folder of MixDQ's released files: weight/, act/, sensitivity/.")
    ] = None,
) -> None:
    """Count layers, solve programmes and check MixDQ's released files, for the claims about them."""
    from mixdq.eval.report.claims_measure import measure_structure

    words = ["mixdq-eval", "structure", "--out", out.name, *(["--released", "DIR"] if released else [])]
    console = stdout_console()
    with console.status("") as status:
        table = measure_structure(released, shlex.join(words), status.update)
    table.write(out)
    console.print(f"{len(table.figures)} figures: {out}", highlight=False)
