"""The sources' tables and figures, made again: theirs beside ours."""

from __future__ import annotations

from collections.abc import Iterator

from mixdq.eval.report.found import Document
from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Block, Cell, Heading, Prose, Section, Table
from mixdq.eval.report.words import cells, fixed, significant, span
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
            + ", ".join(f"{name}: {text}" for name, text in found.settings.items())
        ),
        heads=("", *_heads(found)),
        rows=tuple(
            cells(row.label, *(cell for column in found.columns for cell in _pair(found, row, column)))
            for row in found.rows
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
            folded=True,
        )


def _has_source(found: Reproduction, column: Column) -> bool:
    return any(column.key in row.paper for row in found.rows)


def _heads(found: Reproduction) -> Iterator[str]:
    for column in found.columns:
        yield column.heading
        if _has_source(found, column):
            yield f"{column.heading}, theirs"


def _pair(found: Reproduction, row: ResultRow, column: Column) -> Iterator[str | Cell]:
    """Ours, and where the source has this column, theirs."""
    ours, theirs = row.ours.get(column.key), row.paper.get(column.key)
    if ours is None:
        yield Cell("–", "soft")
    else:
        interval = span(ours.low, ours.high, column.digits)
        yield fixed(ours.value, column.digits) + (f" ({interval})" if interval else "")
    if _has_source(found, column):
        yield Cell("–" if theirs is None else f"{theirs:g}", "soft")


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
