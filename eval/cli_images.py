"""`mixdq-eval`: the commands that draw pictures."""

from __future__ import annotations

import typer

app = typer.Typer()
