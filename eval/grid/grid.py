"""The grid: plans by resolutions by back ends, compiled, measured and judged, into one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.worker import Report
from mixdq.configs.bundle import Bundle
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file
from mixdq.configs.grid_table import GRID_CSV, GRID_FILE, CellState, GridCell, GridPlan, GridTable
from mixdq.configs.latency_table import LatencyRun, LatencyTable
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.memory_table import MemoryTable
from mixdq.configs.quality_table import QualityRow, QualityTable
from mixdq.eval.grid.built import Compiling, built_plan, check_apart
from mixdq.eval.grid.candidates import Candidate
from mixdq.eval.grid.cell_run import Missed
from mixdq.eval.grid.cells import BackEnd, Cell, Say, cells_of, measure_cells
from mixdq.eval.grid.csv_file import write_grid_csv
from mixdq.eval.grid.fit import fit_models
from mixdq.eval.grid.header import Header, claim
from mixdq.eval.grid.quality import NO_REFERENCE, Judging, draw_cells, score_cells
from mixdq.eval.grid.record import CellRecord, memory_row, others_of, time_rows
from mixdq.eval.grid.warnings import crowd_of, warnings_of
from mixdq.eval.image_set import MANIFEST_FILE
from mixdq.eval.images.order import order_digest
from mixdq.eval.speed.latency_run import Rounds
from mixdq.eval.speed.measured_files import here
from mixdq.eval.speed.subject import Drawing


@dataclass(frozen=True, slots=True)
class GridRequest:
    """A grid as it is asked for.

    Attributes:
        candidates: the rows.
        compiling: how those that are no bundles yet are compiled; None if all are.
        back_ends: where the bundles run.
        resolutions: pixels.
        drawing: what is drawn while times and memory are measured.
        rounds: how often.
        judging: how the pictures are judged; None for no quality.
        out: the grid's folder.
    """

    candidates: tuple[Candidate, ...]
    compiling: Compiling | None
    back_ends: tuple[BackEnd, ...]
    resolutions: tuple[int, ...]
    drawing: Drawing
    rounds: Rounds
    judging: Judging | None
    out: Path


def measure_grid(request: GridRequest, report: Report, say: Say) -> GridTable:
    """Makes what is missing of a grid's folder, and the table.

    Writes `header.json`, `bundles/`, `cells/`, `pictures/`, `scores/`, and at the end `latency.json` and
    `memory.json`, as the other commands write them, `grid.json` and `grid.csv`. A grid that was stopped
    goes on.

    Args:
        request: what to measure.
        report: told how far it is.
        say: told of each cell that is done.

    Raises:
        EvaluationError: a folder of another grid, machine or versions; two rows that are one configuration.
        MixdqError: whatever compiling and scoring refuse.
    """
    header = _header(request)
    claim(request.out, header)
    plans = _plans(request)
    cells = cells_of(plans, request.back_ends, request.resolutions, request.drawing)
    records = measure_cells(cells, request.rounds, request.out / "cells", report, say)
    judged = _Judged.of(request.judging, cells, records, report)
    table = _table(
        header, plans, [_cell(cell, records[cell], request.rounds, judged) for cell in cells], judged
    )
    _write(request, table, cells)
    return table


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is known of the cells' pictures: those that could not be drawn, and the scores by resolution."""

    missed: Mapping[Cell, Missed | None]
    tables: Mapping[int, QualityTable]
    cells: tuple[Cell, ...]
    judging: Judging | None

    @classmethod
    def of(
        cls,
        judging: Judging | None,
        cells: Sequence[Cell],
        records: Mapping[Cell, CellRecord],
        report: Report,
    ) -> _Judged:
        if judging is None:
            return cls({}, {}, (), None)
        measured = [cell for cell in cells if records[cell].missed is None]
        missed = draw_cells(measured, judging, report)
        drawn = tuple(cell for cell, why in missed.items() if why is None)
        return cls(missed, score_cells(drawn, judging, report), drawn, judging)

    def not_scored(self) -> dict[str, str]:
        if self.judging is None:
            return {"all metrics": "quality was not asked for"}
        found = dict(pair for table in self.tables.values() for pair in table.not_scored.items())
        for resolution in sorted({cell.case.resolution for cell in self.cells} - set(self.tables)):
            found[f"all metrics at {resolution} pixels"] = NO_REFERENCE
        return found


def _header(request: GridRequest) -> Header:
    machine, versions = here()
    rounds, judging, drawing = request.rounds, request.judging, request.drawing
    settings = {
        "warmup": str(rounds.warmup),
        "repeats": str(rounds.repeats),
        "processes": str(rounds.processes),
        "prompt": drawing.prompt,
    }
    pictures = judging.pictures if judging is not None else ()
    return Header(
        model=_model(request),
        prompts_digest=order_digest(pictures) if pictures else "",
        count=len(pictures),
        seed=pictures[0].seed if pictures else drawing.seed,
        steps=drawing.steps,
        settings=settings,
        machine=machine,
        versions=versions,
    )


def _model(request: GridRequest) -> ModelIdentity:
    """The one model of all rows."""
    models = {}
    if request.compiling is not None:
        models[request.compiling.source.identity] = "the model to compile"
    for candidate in request.candidates:
        if candidate.bundle is not None:
            models.setdefault(Bundle.read(candidate.bundle).model, f"the bundle {candidate.name}")
    if len(models) != 1:
        found = "; ".join(f"{where}: {model.name} ({model.digest[:12]})" for model, where in models.items())
        raise EvaluationError(
            f"a grid is of one model, and these are {len(models)}: {found}; give one of them"
        )
    return next(iter(models))


def _plans(request: GridRequest) -> list[GridPlan]:
    plans: list[GridPlan] = []
    for candidate in request.candidates:
        folder = candidate.bundle
        if folder is None:
            assert request.compiling is not None
            folder = request.compiling.bundle(candidate)
        plans.append(built_plan(candidate, folder))
        check_apart(plans)
    return plans


def _cell(cell: Cell, record: CellRecord, rounds: Rounds, judged: _Judged) -> GridCell:
    label, missed = cell.case.subject.label, record.missed
    undrawn = judged.missed.get(cell)
    scores = _scores(cell, judged)
    digest = _run_digest(cell, rounds)
    return GridCell(
        plan=cell.plan.name,
        resolution=cell.case.resolution,
        target=label.target,
        device=label.device,
        batch=cell.case.batch,
        state=CellState.MEASURED if missed is None else missed.state,
        reason=missed.reason if missed else f"pictures not drawn: {undrawn.reason}" if undrawn else "",
        engines_sha256=cell.engines_sha256,
        times=() if missed else time_rows(cell.case, record.turns, digest),
        memory=None if missed else memory_row(cell.case, record.turns, _pictures(rounds), digest),
        scores=scores.scores if scores else (),
        refused=scores.refused if scores else {},
        pictures_sha256=scores.manifest_sha256 if scores else "",
        others_busy=None if missed else others_of(record.turns),
    )


def _scores(cell: Cell, judged: _Judged) -> QualityRow | None:
    if judged.judging is None or cell not in judged.cells or cell.case.resolution not in judged.tables:
        return None
    manifest = sha256_of_file(judged.judging.pictures_of(cell) / MANIFEST_FILE)
    rows = judged.tables[cell.case.resolution].rows
    return next((row for row in rows if row.manifest_sha256 == manifest), None)


def _table(
    header: Header, plans: Sequence[GridPlan], cells: Sequence[GridCell], judged: _Judged
) -> GridTable:
    measured = [cell for cell in cells if cell.is_measured]
    return GridTable(
        model=header.model,
        plans=tuple(plans),
        cells=tuple(cells),
        models=fit_models(measured),
        warnings=(*crowd_of(measured, header.machine), *warnings_of(plans, measured)),
        not_scored=judged.not_scored(),
        prompts_digest=header.prompts_digest,
        count=header.count,
        seed=header.seed,
        steps=header.steps,
        settings=header.settings,
        machine=header.machine,
        versions=header.versions,
    )


def _write(request: GridRequest, table: GridTable, cells: Sequence[Cell]) -> None:
    out, rounds = request.out, request.rounds
    latency_table(table, {_run_digest(cell, rounds): _run(cell, rounds) for cell in cells}).write(
        out / "latency.json"
    )
    rows = tuple(cell.memory for cell in table.cells if cell.memory is not None)
    MemoryTable(rows, table.machine, table.versions).write(out / "memory.json")
    write_grid_csv(out / GRID_CSV, table)
    table.write(out / GRID_FILE)


def latency_table(table: GridTable, runs: Mapping[str, LatencyRun]) -> LatencyTable:
    """The grid's times as `mixdq-eval latency` writes them: what the server's simulator reads."""
    rows = [row for cell in table.cells for row in cell.times]
    return LatencyTable((), table.machine, table.versions).updated(rows, runs)


def _run_digest(cell: Cell, rounds: Rounds) -> str:
    return cell.case.digest("grid", rounds.warmup, rounds.repeats, rounds.processes)


def _run(cell: Cell, rounds: Rounds) -> LatencyRun:
    case = cell.case
    return LatencyRun(
        prompt=case.drawing.prompt,
        seed=case.drawing.seed,
        warmup=rounds.warmup,
        repeats=rounds.repeats,
        model_digest=case.subject.label.model_digest,
        engines=case.subject.engines(case.resolution),
    )


def _pictures(rounds: Rounds) -> int:
    return rounds.warmup + rounds.repeats
