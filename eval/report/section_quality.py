"""How good the pictures are: scores with their intervals, and whether the metrics can be believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mixdq.configs.quality_table import QualityRow, QualityTable, Score
from mixdq.eval.report.chart_rows import DotRow, Mark, dots
from mixdq.eval.report.chart_shapes import Chart
from mixdq.eval.report.found import Document
from mixdq.eval.report.naming import short_names
from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Block, Cell, Figure, Heading, Prose, Section, Table
from mixdq.eval.report.words import cells, counted, fixed, listed, signed, span

_Quality = Document[QualityTable]


def quality_section(results: Results) -> Section:
    """A table a document: scores of different pictures are never put together."""
    documents = results.found.qualities
    blocks: list[Block] = []
    counts = sorted({count_of(document.content) for document in documents})
    if len(documents) > 1:
        blocks.append(
            Prose(
                f"{len(documents)} documents, of {listed(f'{count:,}' for count in counts)} pictures each: "
                "every one has its own table, and nothing is compared across them.",
                "soft",
            )
        )
    for place, document in enumerate(documents, start=1):
        if len(documents) > 1:
            blocks.append(Heading(document.name))
        blocks += _blocks(results, document, f"quality-{place}")
    return Section("quality", "Quality", tuple(blocks))


def count_of(table: QualityTable) -> int:
    """How many pictures each score is of."""
    return next((score.count for row in table.rows for score in row.scores), 0)


def metrics_of(table: QualityTable) -> Mapping[str, bool]:
    """The metrics of a table, and whether more is better."""
    return {score.metric: score.higher_is_better for row in table.rows for score in row.scores}


def digits_of(values: Sequence[float]) -> int:
    """Digits after the point that a column of scores needs."""
    top = max((abs(value) for value in values), default=0.0)
    return 1 if top >= 100 else 2 if top >= 10 else 3 if top >= 0.01 else 5


def _blocks(results: Results, document: _Quality, key: str) -> Iterator[Block]:
    table = document.content
    names = short_names(row.pictures for row in table.rows)
    yield _scores(results, document, names, key)
    charts = [_chart(results, table, metric, names) for metric in metrics_of(table)]
    if charts:
        yield Figure(
            "Means (dots) with 95 % bootstrap intervals over the pictures (bars); distances between sets "
            "have none.",
            tuple(charts),
        )
    if table.differences:
        yield _differences(table, key)
    for row in table.rows:
        for metric, reason in row.refused.items():
            yield Prose(f"Refused: {metric} of {names[row.pictures]}: {reason}", "bad")
    if table.not_scored:
        yield Table(
            key=f"{key}-not-scored",
            caption="Not scored, and what it takes",
            heads=("metric", "why"),
            rows=tuple(cells(name, why) for name, why in table.not_scored.items()),
            words=frozenset({"why"}),
            folded=True,
        )
    for note in table.notes:
        yield Prose(note, "soft")
    if table.controls:
        yield _controls(table, key)


def _scores(results: Results, document: _Quality, names: Mapping[str, str], key: str) -> Table:
    table = document.content
    first = table.rows[0]
    reference = f"{table.reference_plan or 'photographs'}".partition(" (")[0]
    return Table(
        key=key,
        caption=(
            f"{first.model.name}, {first.resolution} pixels, {counted(count_of(table), 'picture')} each, "
            f"against {reference} ({short_names([table.reference])[table.reference]}); machine "
            f"{results.origins.letter(document)}. In brackets 95 % intervals; ↑ more is better, ↓ less is."
        ),
        heads=("", *(names[row.pictures] for row in table.rows)),
        rows=(
            cells("plan", *(Cell(row.plan, "soft words") for row in table.rows)),
            *(_line(table, metric, "↑" if up else "↓") for metric, up in metrics_of(table).items()),
        ),
    )


def _line(table: QualityTable, metric: str, arrow: str) -> tuple[Cell, ...]:
    digits = digits_of([score.value for score in _of(table, metric)])
    return cells(f"{metric}\u00a0{arrow}", *(_cell(row, metric, digits) for row in table.rows))


def _cell(row: QualityRow, metric: str, digits: int) -> Cell:
    score = next((one for one in row.scores if one.metric == metric), None)
    if score is None:
        return Cell("refused" if metric in row.refused else "–", "bad" if metric in row.refused else "soft")
    interval = span(score.low, score.high, digits)
    return Cell(fixed(score.value, digits) + (f" ({interval})" if interval else ""))


def _of(table: QualityTable, metric: str) -> list[Score]:
    return [score for row in table.rows for score in row.scores if score.metric == metric]


def _chart(results: Results, table: QualityTable, metric: str, names: Mapping[str, str]) -> Chart:
    digits = digits_of([one.value for one in _of(table, metric)])
    rows = [
        DotRow(
            names[row.pictures],
            (Mark(score.value, results.colours.of(row.plan_digest), row.plan, score.low, score.high),),
            fixed(score.value, digits),
        )
        for row in table.rows
        for score in row.scores
        if score.metric == metric
    ]
    better = "more is better" if metrics_of(table)[metric] else "less is better"
    return dots(metric, rows, better, "; ".join(f"{row.name} {row.figure}" for row in rows))


def _differences(table: QualityTable, key: str) -> Table:
    names = short_names(folder for one in table.differences for folder in (one.first, one.second))
    return Table(
        key=f"{key}-differences",
        caption="Differences picture by picture: first less second, with 95 % intervals",
        heads=("first", "second", "metric", "mean", "low", "high"),
        rows=tuple(
            cells(
                names[one.first],
                names[one.second],
                one.metric,
                *(signed(value, digits_of([one.low, one.high])) for value in (one.mean, one.low, one.high)),
            )
            for one in table.differences
        ),
        words=frozenset({"second", "metric"}),
        folded=True,
    )


def _controls(table: QualityTable, key: str) -> Table:
    return Table(
        key=f"{key}-controls",
        caption="Controls: measurements whose result is known beforehand",
        heads=("control", "metric", "pictures", "gave", "passed", "meaning"),
        rows=tuple(
            cells(
                one.name,
                one.metric,
                short_names([one.pictures])[one.pictures],
                fixed(one.value, digits_of([one.value])),
                Cell("yes" if one.passed else "NO", "good" if one.passed else "bad"),
                one.means,
            )
            for one in table.controls
        ),
        words=frozenset({"metric", "pictures", "passed", "meaning"}),
        folded=table.passed,
    )
