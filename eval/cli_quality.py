"""`mixdq-eval`: the commands that score pictures."""

from __future__ import annotations

import typer

app = typer.Typer()
