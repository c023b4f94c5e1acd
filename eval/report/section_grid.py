"""Plans by resolutions by back ends, and the model of their times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixdq.configs.grid_table import GridCell, GridTable, PerformanceModel
from mixdq.configs.quality_table import Score
from mixdq.eval.report.chart_frontier import Candidate, frontier_chart
from mixdq.eval.report.chart_plane import Axis, Point, Series, plane
from mixdq.eval.report.chart_shapes import Chart
from mixdq.eval.report.found import Document
from mixdq.eval.report.results import Results
from mixdq.eval.report.section_speed import place_of
from mixdq.eval.report.view import Block, Cell, Figure, Heading, Prose, Section, Table
from mixdq.eval.report.words import brief, cells, counted, fixed, percent, significant

_PREFERRED = ("CLIP", "PSNR", "emoji alignment", "SSIM")
_LIKENESS = ("PSNR", "SSIM", "SQNR")
_RIGHT = 0.1
"""So far a prediction may be from what was measured."""


def grid_section(results: Results) -> Section:
    """Charts and tables of each grid."""
    blocks: list[Block] = []
    documents = results.found.grids
    for place, document in enumerate(documents, start=1):
        if len(documents) > 1:
            blocks.append(Heading(document.name))
        blocks += _blocks(results, document, f"grid-{place}")
    return Section("grid", "Grid", tuple(blocks))


def _blocks(results: Results, document: Document[GridTable], key: str) -> Iterator[Block]:
    grid = document.content
    for warning in grid.warnings:
        yield Prose(warning, "bad")
    places = dict.fromkeys((cell.target, cell.device, cell.batch) for cell in grid.measured)
    for place in places:
        own = [cell for cell in grid.measured if (cell.target, cell.device, cell.batch) == place]
        yield Figure(
            f"{grid.model.name}, {place_of(own[0])}, batch {place[2]}, machine "
            f"{results.origins.letter(document)}. Labels are plan and pixels; the dotted line joins the "
            "cells that no other beats.",
            tuple(_charts(results, grid, own)),
        )
    metric = _metric(grid)
    yield Table(
        key=key,
        caption=f"{counted(len(grid.cells), 'cell')}, machine {results.origins.letter(document)}",
        heads=(
            *("plan", "weight bits", "pixels", "target", "p50 ms", "p95 ms", "peak MiB"),
            *(metric or "quality", "config"),
        ),
        rows=tuple(_row(grid, cell, metric) for cell in grid.cells),
        words=frozenset({"target", "config"}),
    )
    yield from _models(grid, key)


def _charts(results: Results, grid: GridTable, own: Sequence[GridCell]) -> Iterator[Chart]:
    def style(name: str) -> str:
        return results.colours.of(grid.plan(name).plan_digest)

    for title, unit, attribute in (("Latency", "ms, p50", "p50_ms"), ("Memory", "MiB, peak", "peak_mib")):
        series = []
        for name in dict.fromkeys(cell.plan for cell in own):
            line = sorted((cell for cell in own if cell.plan == name), key=lambda cell: cell.resolution)
            points = tuple(Point(cell.resolution, getattr(cell, attribute), hint=cell.title) for cell in line)
            series.append(Series(points, style(name), joined=True, label=name))
        yield plane(title, series, Axis("pixels of a side"), Axis(unit, zero=True))
    metric = _metric(grid)
    for title, unit, attribute in (("latency", "ms, p50", "p50_ms"), ("memory", "MiB, peak", "peak_mib")):
        scored = [
            (cell, score) for cell in own if metric and (score := _score(grid, cell, metric)) is not None
        ]
        if len(scored) > 1:
            yield frontier_chart(
                f"{metric} against {title}",
                [
                    Candidate(
                        f"{cell.plan} {cell.resolution}",
                        getattr(cell, attribute),
                        score.value,
                        style(cell.plan),
                    )
                    for cell, score in scored
                ],
                unit,
                str(metric),
                more_is_better=scored[0][1].higher_is_better,
            )


def _metric(grid: GridTable) -> str | None:
    names = dict.fromkeys(score.metric for cell in grid.cells for score in cell.scores)
    return next((name for start in _PREFERRED for name in names if name.startswith(start)), None)


def _score(grid: GridTable, cell: GridCell, metric: str) -> Score | None:
    """A cell's score; full precision's likeness to itself is none."""
    if metric.startswith(_LIKENESS) and not grid.plan(cell.plan).quantizes:
        return None
    return cell.score(metric)


def _row(grid: GridTable, cell: GridCell, metric: str | None) -> tuple[Cell, ...]:
    plan = grid.plan(cell.plan)
    score = _score(grid, cell, metric) if metric else None
    figures = (
        cells(fixed(cell.p50_ms, 1), fixed(cell.p95_ms, 1), fixed(cell.peak_mib, 0))
        if cell.is_measured
        else cells(Cell(cell.state, "bad"), "–", "–")
    )
    return (
        *cells(cell.plan, fixed(plan.weight_bits, 2), str(cell.resolution), place_of(cell)),
        *figures,
        Cell("–" if score is None else significant(score.value, 4)),
        Cell(brief(plan.config_digest), code=True),
    )


def _models(grid: GridTable, key: str) -> Iterator[Block]:
    if not grid.models:
        return
    yield Table(
        key=f"{key}-models",
        caption="Models fitted to the grid: every cell predicted from the others alone",
        heads=("quantity", "target", "formula", "held out", "worst error"),
        rows=tuple(
            cells(
                model.quantity,
                place_of(model),
                model.formula,
                str(len(model.held_out)),
                _worst(model),
            )
            for model in grid.models
        ),
        words=frozenset({"target", "formula"}),
    )


def _worst(model: PerformanceModel) -> Cell:
    worst = model.worst_error
    return Cell("–") if worst is None else Cell(percent(worst), "bad" if worst > _RIGHT else "")
