"""The command of `mixdq-compile` that judges final graphs: `lint`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.console import stdout_console

linting = typer.Typer()

EXIT_FINDINGS = 1
"""Exit code of a lint that found failures."""


@linting.command()
def lint(
    folder: Annotated[Path, typer.Argument(help="A bundle's folder.", show_default=False)],
    kernels: Annotated[
        bool,
        typer.Option(
            "--kernels",
            help="Let ONNX Runtime open the UNets too, and say which layers it computes in integers; takes "
            "their size in memory and, for the while, on the disk.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print records instead of a table.")] = False,
) -> None:
    """Check a bundle's final graphs, and engines where they open, for what makes them slow or wrong."""
    from mixdq.compiler.lint.lint import lint as lint_bundle
    from mixdq.compiler.lint.report import in_words, to_json

    found = lint_bundle(folder, kernels=kernels)
    if as_json:
        print(json.dumps(to_json(found), indent=1))
    else:
        console = stdout_console()
        for part in in_words(found):
            console.print(part, soft_wrap=isinstance(part, str))
    if found.fails:
        raise typer.Exit(EXIT_FINDINGS)
