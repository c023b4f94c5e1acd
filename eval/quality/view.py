"""A quality table for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from mixdq.configs.quality_table import QualityTable, Score


def view(table: QualityTable) -> Table:
    """One row a metric, one column a set; intervals in brackets, differences to the reference after them."""
    counts = sorted({score.count for row in table.rows for score in row.scores})
    shown = Table(
        "metric",
        *(f"{Path(row.pictures).name}\n{row.plan}" for row in table.rows),
        title=(
            f"{' or '.join(map(str, counts)) or 'no'} pictures a set against {table.reference_count} of "
            f"{Path(table.reference).name}; 95 % intervals"
        ),
    )
    for column in shown.columns[1:]:
        column.justify = "right"
    for metric, arrow in _metrics(table).items():
        cells = (
            next((_cell(score) for score in row.scores if score.metric == metric), "refused")
            for row in table.rows
        )
        shown.add_row(f"{metric} {arrow}", *cells)
    return shown


def remarks(table: QualityTable) -> Iterator[str]:
    """What the table's figures don't say: controls, differences between the sets, what is missing and why."""
    for control in table.controls:
        outcome = "passed" if control.passed else "FAILED"
        place = Path(control.pictures).name
        yield f"control {outcome}: {control.metric}, {control.name} ({place}): {control.means}"
    for row in table.rows:
        for metric, reason in row.refused.items():
            yield f"refused: {metric} of {Path(row.pictures).name}: {reason}"
    for found in table.differences:
        names = f"{Path(found.first).name} minus {Path(found.second).name}"
        yield (
            f"{names}, {found.metric}: {found.mean:+.4g} ({found.low:+.4g} to {found.high:+.4g}), "
            f"{found.count} pairs"
        )
    yield from (f"note: {note}" for note in table.notes)
    yield from (f"not scored: {metric}: {reason}" for metric, reason in table.not_scored.items())


def _metrics(table: QualityTable) -> dict[str, str]:
    scores = {score.metric: score.higher_is_better for row in table.rows for score in row.scores}
    refused = {metric: True for row in table.rows for metric in row.refused}
    return {metric: "↑" if higher else "↓" for metric, higher in (refused | scores).items()}


def _cell(score: Score) -> str:
    text = f"{score.value:.4g}"
    if score.low is not None and score.high is not None:
        text += f" [{score.low:.4g}, {score.high:.4g}]"
    if score.against_reference is not None:
        mean, low, high = score.against_reference
        text += f"\n{mean:+.4g} [{low:+.4g}, {high:+.4g}] to the reference"
    return text
