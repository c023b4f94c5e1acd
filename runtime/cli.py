"""`mixdq-serve`: the commands."""

from __future__ import annotations

from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from mixdq.configs.console import run_app
from mixdq.runtime import cli_serve, cli_simulate


class _ServeByDefault(TyperGroup):
    """`mixdq-serve DIR` is `mixdq-serve serve DIR`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="mixdq-serve",
    help="Serve pictures under load, keeping a latency objective.",
    cls=_ServeByDefault,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_serve.app)
app.add_typer(cli_simulate.app)


@app.callback()
def _commands() -> None:
    """Serve pictures under load, keeping a latency objective.

    `mixdq-serve DIR` serves a bundle; `mixdq-serve serve --help` lists the options.
    """


def main() -> NoReturn:
    """The command line."""
    run_app(app)


if __name__ == "__main__":
    main()
