"""The cells of a grid, measured in turns; each of them has a file that is whole after every turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.worker import Report
from mixdq.configs.bundle import BUNDLE_FILE
from mixdq.configs.files import sha256_of_file
from mixdq.configs.grid_table import CellState, GridPlan
from mixdq.configs.latency_table import WHOLE
from mixdq.eval.grid.built import engines_digest
from mixdq.eval.grid.candidates import twins
from mixdq.eval.grid.cell_run import Missed, Turn, measure_turn
from mixdq.eval.grid.record import CellRecord
from mixdq.eval.speed.bundle_subject import BundleSubject
from mixdq.eval.speed.latency_run import Rounds
from mixdq.eval.speed.subject import Case, Drawing
from mixdq.eval.timing import Spread

Say = Callable[[str], None]
"""Told what stays on the screen: a line a cell."""


@dataclass(frozen=True, slots=True)
class BackEnd:
    """Where bundles run: which of their engines, and what ONNX Runtime computes on."""

    target: str
    device: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One plan at one size on one back end.

    Attributes:
        plan: whose bundle runs.
        case: what its process does.
        engines_sha256: see `GridCell`.
    """

    plan: GridPlan
    case: Case
    engines_sha256: str

    @property
    def name(self) -> str:
        """Of its files."""
        label = self.case.subject.label
        where = label.target.replace(":", "-")
        on_gpu = "-cuda" if label.target == "cpu" and label.device == "cuda" else ""
        return f"{self.plan.name}-{self.case.resolution}-{where}{on_gpu}"

    @property
    def back_end(self) -> BackEnd:
        """Where it runs."""
        label = self.case.subject.label
        return BackEnd(label.target, label.device)


def cells_of(
    plans: Sequence[GridPlan],
    back_ends: Sequence[BackEnd],
    resolutions: Sequence[int],
    drawing: Drawing,
) -> tuple[Cell, ...]:
    """Every plan at every size on every back end; plans at one size follow each other.

    Raises:
        EvaluationError: a size that a bundle can't draw, or two cells that run the same engines.
        MixdqError: a bundle is broken or has no such engines.
    """
    cells, seen = [], dict[object, str]()
    for back_end in back_ends:
        subjects = [BundleSubject.of(Path(plan.bundle), back_end.target, back_end.device) for plan in plans]
        for resolution in resolutions:
            for plan, subject in zip(plans, subjects, strict=True):
                (batch,) = subject.batches
                subject.check(resolution, batch)
                digest = engines_digest(subject.engines(resolution))
                first = seen.setdefault((back_end, resolution, batch, digest), plan.name)
                if first != plan.name:
                    raise twins(
                        first, plan.name, f"the same engines at {resolution} pixels for {back_end.target}"
                    )
                cells.append(Cell(plan, Case(subject, resolution, batch, drawing), digest))
    return tuple(cells)


def measure_cells(
    cells: Sequence[Cell], rounds: Rounds, folder: Path, report: Report, say: Say
) -> Mapping[Cell, CellRecord]:
    """Measures what is missing of the cells, every turn of each in a process of its own.

    Cells take turns, because processes of the same files differ by more than the pictures of one do, and what
    else the machine does at a time shall not fall on one cell alone. A cell that can't be measured is
    recorded so, and the others go on.

    Args:
        cells: what to measure.
        rounds: warm-up and repeats of a process, and processes of a cell.
        folder: of the cells' files.
        report: told how far it is.
        say: told of each cell that is done.
    """
    records = {cell: CellRecord.read(_path(folder, cell), cell.engines_sha256) for cell in cells}
    clock = _Clock(sum(_left(record, rounds) for record in records.values()))
    for turn in range(rounds.processes):
        for place, cell in enumerate(cells, 1):
            record = records[cell]
            if record.missed is not None or len(record.turns) > turn:
                continue
            title = f"{cell.case.title} ({place} of {len(cells)}, process {turn + 1} of {rounds.processes})"
            start = time.monotonic()
            found = _measured(cell, rounds, _titled(report, title))
            records[cell] = record = _grown(record, found)
            record.write(_path(folder, cell))
            left = clock.after(time.monotonic() - start)
            if record.missed is not None or len(record.turns) == rounds.processes:
                say(f"{place:2} of {len(cells)}  {_in_words(cell, record)}, {left}")
    return records


class _Clock:
    """How long the remaining processes will take, by those before."""

    def __init__(self, processes: int) -> None:
        self._left, self._seconds, self._done = processes, 0.0, 0

    def after(self, seconds: float) -> str:
        """In words, after a process that took so long."""
        self._left, self._seconds, self._done = self._left - 1, self._seconds + seconds, self._done + 1
        return f"about {max(0, self._left) * self._seconds / self._done / 60:.1f} min left"


def _path(folder: Path, cell: Cell) -> Path:
    return folder / f"{cell.name}.json"


def _left(record: CellRecord, rounds: Rounds) -> int:
    return 0 if record.missed is not None else max(0, rounds.processes - len(record.turns))


def _titled(report: Report, title: str) -> Report:
    return lambda phase, done, total: report(f"{title}: {phase}", done, total)


def _measured(cell: Cell, rounds: Rounds, report: Report) -> Turn | Missed:
    return changed(cell.plan) or measure_turn(cell.case, rounds.warmup, rounds.repeats, report)


def changed(plan: GridPlan) -> Missed | None:
    """Why a plan's bundle is not the one that the grid began with; None if it is."""
    path = Path(plan.bundle) / BUNDLE_FILE
    if not path.is_file():
        return Missed(CellState.GONE, f"{path} disappeared while the grid ran; the same command goes on")
    if sha256_of_file(path) != plan.bundle_sha256:
        return Missed(CellState.FAILED, f"{path} was changed while the grid ran; start the grid again")
    return None


def _grown(record: CellRecord, found: Turn | Missed) -> CellRecord:
    if isinstance(found, Missed):
        return CellRecord(record.engines_sha256, record.turns, found)
    return CellRecord(record.engines_sha256, (*record.turns, found), None)


def _in_words(cell: Cell, record: CellRecord) -> str:
    if record.missed is not None:
        return f"{cell.case.title}: {record.missed.state}"
    spread = Spread.of([value / 1e3 for turn in record.turns for value in turn.stages[WHOLE]])
    peak = max(turn.host_peak_mib - turn.host_baseline_mib for turn in record.turns)
    return (
        f"{cell.case.title}: p50 {spread.median:.1f} ms, p95 {spread.p95:.1f} ms, {peak:.0f} MiB of the host"
    )
