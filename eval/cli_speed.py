"""`mixdq-eval`: the commands that measure time and memory."""

from __future__ import annotations

import typer

app = typer.Typer()
