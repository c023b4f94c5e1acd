"""What the making of a recipe gives, before it is a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mixdq.eval.reproduce.columns import Column
from mixdq.eval.reproduce.recipe import RecipeRow
from mixdq.eval.reproduce.result import ResultRow


@dataclass(frozen=True, slots=True)
class Made:
    """Rows and what follows from them; see `Reproduction`.

    Attributes:
        columns: of the rows.
        rows: all of them, those that were not made included.
        findings: in sentences.
        not_measured: what could not be, and why.
        plots: names of files in the recipe's folder.
        settings: further ones.
    """

    columns: Sequence[Column]
    rows: Sequence[ResultRow]
    findings: Sequence[str] = ()
    not_measured: Mapping[str, str] = field(default_factory=dict)
    plots: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


def beside(rows: Sequence[ResultRow], recipe: Sequence[RecipeRow]) -> list[ResultRow]:
    """Rows with the figures that the source has under their names; the source's other rows follow."""
    printed = {row.name: row for row in recipe if row.not_made is not None}
    found = [replace(row, paper=printed[row.name].paper) if row.name in printed else row for row in rows]
    names = {row.name for row in rows}
    rest = [row for name, row in printed.items() if name not in names]
    return found + [ResultRow(row.name, row.label, paper=row.paper, note=row.not_made or "") for row in rest]
