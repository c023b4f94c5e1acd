"""What a recipe gave: its table, with the source's figures beside, as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.eval.ablation.report import Comparison
from mixdq.eval.report.origins import Origin
from mixdq.eval.reproduce.columns import Column

_NOTHING = "–"
_DIGEST = 64
"""Digits of a SHA-256."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Figure:
    """A measured value, with the ends of its 95 % interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class ResultRow:
    """One row.

    Attributes:
        name: the recipe's.
        label: for people.
        plan: precisions in words; empty for a row that was not made, or has no plan.
        plan_digest: of the plan; None likewise.
        ours: what was measured, by column.
        paper: what the source printed, by column.
        note: how the plan came to be, or why there is none.
        comparison: of this row's FID over another's with the source's.
    """

    name: str
    label: str
    plan: str = ""
    plan_digest: str | None = None
    ours: Mapping[str, Figure] = field(default_factory=dict)
    paper: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class Reproduction:
    """A table or figure, made again (`NAME.json`).

    Attributes:
        recipe: its name.
        title: what it shows.
        cites: where the source's figures stand.
        settings: what the figures depend on, in words.
        columns: those that have a figure.
        rows: in the recipe's order.
        findings: what the figures say, in sentences.
        remarks: what a reader should know of source and figures.
        not_measured: what could not be measured, and why.
        plots: files beside this one.
        command: that made it.
        machine: where.
        versions: packages, by name.
    """

    recipe: str
    title: str
    cites: str
    settings: Mapping[str, str]
    columns: tuple[Column, ...]
    rows: tuple[ResultRow, ...]
    findings: tuple[str, ...]
    remarks: tuple[str, ...]
    not_measured: Mapping[str, str]
    plots: tuple[str, ...]
    command: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    version: int = 1

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Writes `NAME.json`, `NAME.csv` and `NAME.md`; returns their paths."""
        shown = replace(self, columns=tuple(column for column in self.columns if self._has(column)))
        texts = {"json": to_json(shown), "csv": _csv(shown), "md": "\n".join(_markdown(shown)) + "\n"}
        # `grid.json` is what `mixdq-eval grid` writes.
        name = "grid-beside" if self.recipe == "grid" else self.recipe
        paths = {suffix: folder / f"{name}.{suffix}" for suffix in texts}
        for suffix, path in paths.items():
            write_text(path, texts[suffix])
        return tuple(paths.values())

    @classmethod
    def read(cls, path: Path) -> Reproduction:
        """Reads `NAME.json`.

        Raises:
            EvaluationError: the file has another form.
            StorageError: there is none.
        """
        return read_json(cls, path, EvaluationError)

    def _has(self, column: Column) -> bool:
        return any(column.key in row.ours or column.key in row.paper for row in self.rows)


def titled(what: str, words: str) -> str:
    """`what: words`, or the words alone where they begin with it."""
    return words if words.startswith(what) else f"{what}: {words}"


def _csv(found: Reproduction) -> str:
    out = io.StringIO()
    ours = [column.key for column in found.columns]
    paper = [key for key in ours if any(key in row.paper for row in found.rows)]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "label", "plan", *ours, *(f"source: {key}" for key in paper), "note"])
    for row in found.rows:
        cells: list[object] = [row.ours[key].value if key in row.ours else "" for key in ours]
        cells += [row.paper.get(key, "") for key in paper]
        writer.writerow([row.name, row.label, row.plan, *cells, row.note])
    return out.getvalue()


def _markdown(found: Reproduction) -> Iterator[str]:
    yield from (f"# {found.title}", "", f"After {found.cites}.", "", f"    {found.command}", "")
    yield ", ".join(f"{name}: {_brief(text)}" for name, text in found.settings.items()) + "."
    machine = Origin("", found.machine, {}).in_words  # as the report page has it
    yield f"{machine}. {', '.join(f'{name} {text}' for name, text in found.versions.items())}."
    yield ""
    source = any(row.paper for row in found.rows)
    if source:
        yield from ("Each cell: here; *in the source*.", "")
    yield from _table(
        ("", *(column.heading for column in found.columns)),
        ((row.label, *(_cell(row, column) for column in found.columns)) for row in found.rows),
    )
    if any(row.comparison for row in found.rows):
        yield from (
            "",
            "A row's FID over another row's, which alone compares between models:",
            "",
        )
        yield from _table(("", "over", "source", "here", "same direction"), _comparisons(found.rows))
    for heading, lines in (
        ("Found", found.findings),
        ("How the rows came to be", [f"{row.label}: {row.note}" for row in found.rows if row.note]),
        ("To know", found.remarks),
        ("Not measured here", [titled(what, why) for what, why in found.not_measured.items()]),
    ):
        if lines:
            yield from ("", f"## {heading}", *(f"- {line}" for line in lines))
    for plot in found.plots:
        yield from ("", f"![{plot}]({plot})")


def _brief(text: str) -> str:
    return f"{text[:12]}…" if len(text) == _DIGEST else text


def _cell(row: ResultRow, column: Column) -> str:
    ours, paper = row.ours.get(column.key), row.paper.get(column.key)
    here = _NOTHING if ours is None else f"{ours.value:.{column.digits}f}"
    if ours is not None and ours.low is not None and ours.high is not None:
        here += f" ({ours.low:.{column.digits}f} to {ours.high:.{column.digits}f})"
    return here if paper is None else f"{here}; *{paper:g}*"


def _comparisons(rows: Sequence[ResultRow]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        if (found := row.comparison) is not None:
            same = "yes" if found.agrees else "**no**"
            yield row.label, found.against, f"× {found.paper:#.3g}", f"× {found.ours:#.3g}", same


def _table(heads: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
