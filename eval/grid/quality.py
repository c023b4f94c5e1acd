"""The pictures of a grid's cells, and their scores against full precision at the same resolution."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.errors import EvaluationError, MixdqError
from mixdq.configs.files import remove, sha256_of_file, sha256_of_text
from mixdq.configs.quality_table import QualityTable
from mixdq.eval.grid.cell_run import Missed, missed
from mixdq.eval.grid.cells import Cell, changed
from mixdq.eval.image_set import MANIFEST_FILE, ImageSet
from mixdq.eval.images.bundle_source import bundle_source
from mixdq.eval.images.draw import draw_set
from mixdq.eval.images.order import Order
from mixdq.eval.quality.bootstrap import Bootstrap
from mixdq.eval.quality.networks import Resize
from mixdq.eval.quality.request import Metric, QualityRequest, Weights

NO_REFERENCE = "the grid has no full precision at this resolution to compare with: give --bits 16"

_BATCH = 8


@dataclass(frozen=True, slots=True)
class Judging:
    """How the cells' pictures are judged.

    Attributes:
        pictures: what every cell draws.
        metrics: what is measured; None for all that can be.
        weights: of the metrics that no package ships.
        bootstrap: of the intervals.
        folder: of pictures and scores.
    """

    pictures: tuple[Order, ...]
    metrics: frozenset[Metric] | None
    weights: Weights
    bootstrap: Bootstrap
    folder: Path

    def pictures_of(self, cell: Cell) -> Path:
        """Where a cell's pictures are."""
        return self.folder / "pictures" / cell.name


def draw_cells(cells: Sequence[Cell], judging: Judging, report: Report) -> Mapping[Cell, Missed | None]:
    """Draws what is missing of the cells' pictures, each cell in a process of its own.

    Returns:
        Of each cell, why it has no pictures; None if it has.
    """
    found: dict[Cell, Missed | None] = {}
    for place, cell in enumerate(cells, 1):
        title = f"{cell.case.title} ({place} of {len(cells)}): drawing"
        found[cell] = changed(cell.plan) or _draw(cell, judging, title, report)
    return found


def score_cells(cells: Sequence[Cell], judging: Judging, report: Report) -> Mapping[int, QualityTable]:
    """Scores the pictures of the cells, those of one resolution together.

    Scores of the same pictures that were computed before are read again.

    Returns:
        A table a resolution, whose sets are in the cells' order, full precision among them; none where no
        cell is full precision.

    Raises:
        MixdqError: see `measure_quality`.
    """
    tables = {}
    for resolution in sorted({cell.case.resolution for cell in cells}):
        sets = [cell for cell in cells if cell.case.resolution == resolution]
        full = next((cell for cell in sets if not cell.plan.quantizes), None)
        if full is not None:
            tables[resolution] = _score(full, sets, judging, report)
    return tables


def _draw(cell: Cell, judging: Judging, title: str, report: Report) -> Missed | None:
    folder, subject = judging.pictures_of(cell), cell.case.subject
    if _is_of_others(folder, cell):
        remove(folder)

    def tell(phase: str, done: int, total: int | None) -> None:
        report(f"{title}, {phase}", done, total)

    try:
        run_in_child(
            _draw_in_child,
            Path(cell.plan.bundle),
            subject.label.target,
            subject.label.device,
            cell.case.resolution,
            cell.case.drawing.steps,
            judging.pictures,
            folder,
            report=tell,
        )
    except MixdqError as error:
        return missed(error, cell.case)
    return None


def _is_of_others(folder: Path, cell: Cell) -> bool:
    """Whether the pictures there were drawn by other engines: the plan was compiled anew since."""
    if not (folder / MANIFEST_FILE).is_file():
        return False
    drawn = ImageSet.read(folder).painter.engines
    engines = cell.case.subject.engines(cell.case.resolution)
    return dict(drawn) != {path: digest for files in engines.values() for path, digest in files.items()}


def _draw_in_child(
    report: Report,
    bundle: Path,
    target: str,
    device: str,
    resolution: int,
    steps: int,
    pictures: tuple[Order, ...],
    folder: Path,
) -> None:
    source = bundle_source(
        bundle, target=target, device=device, resolution=resolution, steps=steps, batch=None, jobs=None
    )
    draw_set(source, pictures, folder, lambda done, total: report("pictures", done, total))


def _score(full: Cell, sets: Sequence[Cell], judging: Judging, report: Report) -> QualityTable:
    folders = [judging.pictures_of(cell) for cell in sets]
    request = QualityRequest(
        reference=judging.pictures_of(full),
        generated=tuple(folders),
        metrics=judging.metrics,
        with_effnet=judging.weights.inception is None,
        resize=Resize.CLEAN,
        device="cpu",
        batch=_BATCH,
        bootstrap=judging.bootstrap,
        weights=judging.weights,
    )
    path = judging.folder / "scores" / f"{full.case.resolution}-{_key(request)[:12]}.json"
    if path.is_file():
        try:
            return QualityTable.read(path)
        except EvaluationError:
            remove(path)
    title = f"scoring {len(sets)} sets of {full.case.resolution} pixels"

    def tell(phase: str, done: int, total: int | None) -> None:
        report(f"{title}: {phase}", done, total)

    table = run_in_child(_score_in_child, request, report=tell).value
    table.write(path)
    return table


def _key(request: QualityRequest) -> str:
    """SHA-256 over all that the scores depend on but machine and versions, which the grid's header has."""
    weights, bootstrap = request.weights, request.bootstrap
    what = (
        [sha256_of_file(folder / MANIFEST_FILE) for folder in (request.reference, *request.generated)],
        [str(path) for path in (weights.inception, weights.clip, weights.image_reward, weights.lpips)],
        [bootstrap.draws, bootstrap.seed],
        None if request.metrics is None else sorted(request.metrics),
    )
    return sha256_of_text(json.dumps(what))


def _score_in_child(report: Report, request: QualityRequest) -> QualityTable:
    from mixdq.eval.quality.measure import measure_quality  # torch

    return measure_quality(request, lambda phase: lambda done, total: report(phase, done, total))
