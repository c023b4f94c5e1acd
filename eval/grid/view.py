"""A grid for people: its cells, what must not be overlooked, and how well the model foretells it."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from rich.table import Table

from mixdq.configs.grid_table import GridCell, GridTable, PerformanceModel

_SHOWN = ("CLIP", "emoji alignment", "SSIM (window", "PSNR", "SQNR", "FID")
"""Beginnings of the metrics that have a column; all others are in the files."""


def grid_view(table: GridTable) -> Table:
    """A row a cell, by resolution; quality with its interval in the files alone."""
    metrics = [name for name in _SHOWN if any(cell.score(name) for cell in table.cells)]
    places = len({cell.place[2:] for cell in table.cells}) > 1
    heads = ["plan", "bits W/A", "p50 ms", "processes", "p95 ms", "peak MiB", "stored MiB", *metrics]
    shown = Table(
        "pixels",
        *(["where"] if places else []),
        *heads,
        title=f"{table.model.name}: {len(table.measured)} of {len(table.cells)} cells measured",
    )
    for column in shown.columns[-len(heads) + 1 :]:
        column.justify = "right"
    for cell in sorted(table.cells, key=lambda one: one.resolution):
        plan = table.plan(cell.plan)
        where = [f"{cell.target} on {cell.device}, batch {cell.batch}"] if places else []
        bits = f"{plan.weight_bits:.3g}/{plan.activation_bits:.3g}"
        cells = [*_figures(cell), *(_score(cell, name) for name in metrics)]
        shown.add_row(str(cell.resolution), *where, cell.plan, bits, *cells)
    return shown


def remarks(table: GridTable) -> Iterator[str]:
    """What the table's figures don't say."""
    yield from table.warnings
    for cell in table.cells:
        if cell.reason:
            yield f"{cell.title}: {cell.state}: {cell.reason}"
        for metric, reason in cell.refused.items():
            yield f"refused: {metric} of {cell.title}: {reason}"
    yield from map(model_line, table.models)
    yield from (f"not scored: {metric}: {reason}" for metric, reason in table.not_scored.items())


def model_line(model: PerformanceModel) -> str:
    """What the model is, and how far off it was for cells that it had not seen."""
    where = f"{model.quantity} on {model.target} ({model.device}, batch {model.batch})"
    what = f"model of {where}: {model.formula}, {model.form}, x in millions of pixels"
    if not model.held_out:
        return f"{what}; untried: too few cells to leave one out"
    worst = max(model.held_out, key=lambda one: abs(one.error))
    middle = median(abs(one.error) for one in model.held_out)
    within = sum(abs(one.error) <= 0.1 for one in model.held_out)
    return (
        f"{what}; of {len(model.held_out)} cells left out in turn {within} were foretold within 10 %, half "
        f"of them within {middle:.1%}; worst: {worst.plan} at {worst.resolution}, {worst.measured:.4g} "
        f"measured, {worst.predicted:.4g} foretold ({worst.error:+.1%})"
    )


def _figures(cell: GridCell) -> list[str]:
    if cell.memory is None:
        return [str(cell.state), "", "", "", ""]
    row, stored = cell.picture, cell.memory.weights_mib
    spread = f"{row.lowest_process_us / 1e3:.1f}-{row.highest_process_us / 1e3:.1f}"
    figures = [f"{cell.p50_ms:.1f}", spread, f"{cell.p95_ms:.1f}", f"{cell.peak_mib:.0f}"]
    return [*figures, "" if stored is None else f"{stored:.1f}"]


def _score(cell: GridCell, metric: str) -> str:
    score = cell.score(metric)
    return "" if score is None else f"{score.value:.4g}"
