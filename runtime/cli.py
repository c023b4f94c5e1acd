"""`mixdq-serve`: the commands."""

from __future__ import annotations

from typing import NoReturn

import typer

from mixdq.configs.console import run_app
from mixdq.runtime import cli_simulate

app = typer.Typer(
    name="mixdq-serve",
    help="Serve pictures under load, keeping a latency objective.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_simulate.app)


@app.callback()
def _commands() -> None:
    """Serve pictures under load, keeping a latency objective."""


def main() -> NoReturn:
    """The command line."""
    run_app(app)
