"""Tables whose figures are never cut: a line that is too long for the terminal is broken by the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.table import Table

_ANY_WIDTH = 10_000


def new_table(title: str, texts: Sequence[str], figures: Sequence[str]) -> Table:
    """A table with columns of text, then of figures; a heading may have several lines."""
    view = Table(title=title)
    for heading in texts:
        view.add_column(heading, no_wrap=True, vertical="middle")
    for heading in figures:
        view.add_column(heading, justify="right", no_wrap=True)
    return view


def print_parts(console: Console, parts: Iterable[RenderableType]) -> None:
    """Prints lines and tables, the console made as wide as the widest table."""
    shown = list(parts)
    unbounded = console.options.update_width(_ANY_WIDTH)
    widths = [console.measure(part, options=unbounded).maximum for part in shown if isinstance(part, Table)]
    console.width = max(console.width, *widths, 0)
    for part in shown:
        console.print(part, soft_wrap=isinstance(part, str), highlight=False)
