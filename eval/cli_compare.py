"""`mixdq-eval`: the commands that compare back ends."""

from __future__ import annotations

import typer

app = typer.Typer()
