"""The contact sheet: a row a configuration, a column a prompt, the same noise in each column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mixdq.eval.ablation.cases import Case
from mixdq.eval.contact_sheet import Cell, Sheet
from mixdq.eval.quality.pictures import DrawnSet

_SHEET_FILE = "samples.png"


def write_sheet(
    rows: Mapping[Case, DrawnSet], psnr_db: Mapping[Case, Sequence[float]], columns: int, folder: Path
) -> Path:
    """Writes `samples.png` and returns where.

    Args:
        rows: the pictures of each configuration.
        psnr_db: of each picture against full precision.
        columns: how many prompts, evenly spaced over the list.
        folder: where to.
    """
    path = folder / _SHEET_FILE
    sample_sheet(rows, psnr_db, columns).save(path)
    return path


def sample_sheet(
    rows: Mapping[Case, DrawnSet], psnr_db: Mapping[Case, Sequence[float]], columns: int
) -> Sheet:
    """The sheet of at least one row."""
    first = next(iter(rows.values()))
    count = len(first.records)
    shown = min(columns, count)
    places = [place * count // shown for place in range(shown)]
    painter = first.manifest.painter

    def cell(case: Case, drawn: DrawnSet, place: int) -> Cell:
        caption = "reference" if drawn is first else f"{psnr_db[case][place]:.1f} dB"
        return Cell(drawn.load(place), caption)

    return Sheet(
        title=f"{painter.model.name}, one step, {painter.resolution} by {painter.resolution} pixels",
        note="PSNR against full precision under each picture; the same prompt and noise in each column.",
        columns=tuple(first.records[place].prompt for place in places),
        rows=tuple(
            (case.label, tuple(cell(case, drawn, place) for place in places)) for case, drawn in rows.items()
        ),
    )
