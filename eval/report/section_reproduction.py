"""The sources' tables and figures, made again: theirs beside ours."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mixdq.eval.report.found import Document
from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Block, Cell, Heading, Prose, Section, Table
from mixdq.eval.report.words import brief, cells, fixed, significant, span
from mixdq.eval.reproduce.columns import Column
from mixdq.eval.reproduce.result import Reproduction, ResultRow


def reproduction_section(results: Results) -> Section:
    """Each reproduction by itself: a table, ratios, what was found and what could not be measured."""
    blocks = [
        block
        for place, document in enumerate(results.found.reproductions, start=1)
        for block in _blocks(results, document, f"reproduction-{place}")
    ]
    return Section("reproduction", "Tables and figures made again", tuple(blocks))


def _blocks(results: Results, document: Document[Reproduction], key: str) -> Iterator[Block]:
    found = document.content
    yield Heading(found.title)
    yield Table(
        key=key,
        caption=(
            f"After {found.cites}, machine {results.origins.letter(document)}; "
            + ", ".join(f"{name}: {_shortened(text)}" for name, text in found.settings.items())
        ),
        heads=("", *(_head(found, column) for column in found.columns)),
        rows=tuple(
            cells(row.label, *(_cell(found, row, column) for column in found.columns)) for row in found.rows
        ),
    )
    compared = [row for row in found.rows if row.comparison is not None]
    if compared:
        yield _ratios(compared, key)
    for sentence in found.findings:
        yield Prose(sentence)
    for sentence in found.remarks:
        yield Prose(sentence, "soft")
    if found.not_measured:
        yield Table(
            key=f"{key}-not-measured",
            caption="Not measured here",
            heads=("what", "why"),
            rows=tuple(cells(what, why) for what, why in found.not_measured.items()),
            words=frozenset({"why"}),
        )


def _shortened(text: str) -> str:
    return brief(text) if re.fullmatch(r"[0-9a-f]{64}", text) else text


def _head(found: Reproduction, column: Column) -> str:
    """`FID; theirs` says what stands before and behind the semicolons of its cells."""
    if not _is_ours(found, column):
        return f"{column.heading}, theirs"
    is_theirs = any(column.key in row.paper for row in found.rows)
    return f"{column.heading}; theirs" if is_theirs else column.heading


def _is_ours(found: Reproduction, column: Column) -> bool:
    return any(column.key in row.ours for row in found.rows)


def _cell(found: Reproduction, row: ResultRow, column: Column) -> Cell:
    """Ours, and behind it theirs where the source has this figure; theirs alone where no row has ours."""
    ours, paper = row.ours.get(column.key), row.paper.get(column.key)
    theirs = "" if paper is None else f"{paper:g}"
    if not _is_ours(found, column):
        return Cell(theirs or "–", "soft")
    here = "–"
    if ours is not None:
        interval = span(ours.low, ours.high, column.digits)
        here = fixed(ours.value, column.digits) + (f" ({interval})" if interval else "")
    return Cell(f"{here}; {theirs}" if theirs else here, "soft" if ours is None else "")


def _ratios(rows: list[ResultRow], key: str) -> Table:
    return Table(
        key=f"{key}-ratios",
        caption="A row's FID over another row's, which alone compares between models",
        heads=("row", "over", "theirs", "here", "same direction"),
        rows=tuple(
            cells(
                row.label,
                row.comparison.against,
                significant(row.comparison.paper),
                significant(row.comparison.ours),
                Cell("yes" if row.comparison.agrees else "no", "good" if row.comparison.agrees else "bad"),
            )
            for row in rows
            if row.comparison is not None
        ),
        words=frozenset({"over", "same direction"}),
    )
