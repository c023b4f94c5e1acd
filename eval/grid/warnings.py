"""What must not be overlooked in a grid: a crowded machine, quantized cells that cost more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean

from mixdq.configs.grid_table import GridCell, GridPlan

_QUIET = 0.2
"""Processors that others may keep busy: the system's own work is less, one more job is more."""

_SAME = 0.005
"""A part of full precision's figure that rounds to no percent."""


def crowd_of(cells: Sequence[GridCell], machine: Mapping[str, str]) -> Iterator[str]:
    """One line if other processes ran while the times of any cell were measured.

    Args:
        cells: the measured cells of one grid; those that nobody counted others for say nothing.
        machine: where they were measured.
    """
    busy = [cell.others_busy for cell in cells if cell.others_busy is not None]
    crowded = sum(others > _QUIET for others in busy)
    if crowded:
        cores = f" of {machine['cores']}" if "cores" in machine else ""
        yield (
            f"other processes took {mean(busy):.1f}{cores} processors while times were measured "
            f"({min(busy):.1f} to {max(busy):.1f}, more than {_QUIET} beside {crowded} of {len(busy)} cells)"
            ": times say little"
        )


def warnings_of(plans: Sequence[GridPlan], cells: Sequence[GridCell]) -> Iterator[str]:
    """A line for each quantized cell that is slower or bigger than full precision at its size and place.

    Slower is by the 95th percentile, bigger by the peak of memory. A cell whose processes' medians overlap
    with full precision's is not called slower, but not told apart from it.

    Args:
        plans: all plans of the grid.
        cells: its measured cells.
    """
    floating = {plan.name for plan in plans if not plan.quantizes}
    full = {cell.place[1:]: cell for cell in cells if cell.plan in floating}
    for cell in cells:
        base = full.get(cell.place[1:])
        if base is None or cell.plan in floating:
            continue
        if faults := [*_slower(cell, base), *_bigger(cell, base)]:
            yield f"{cell.title}: {'; '.join(faults)}"


def _slower(cell: GridCell, base: GridCell) -> Iterator[str]:
    by = cell.p95_ms / base.p95_ms - 1
    if by < _SAME:
        return
    figures = f"p95 {cell.p95_ms:.1f} ms against {base.p95_ms:.1f}"
    by_half = cell.p50_ms / base.p50_ms - 1
    if cell.picture.lowest_process_us > base.picture.highest_process_us:
        yield f"SLOWER than {base.plan}: {figures} ({by:+.0%}; p50 {by_half:+.0%})"
    else:
        yield f"not told apart from full precision in time: {figures}, and their processes' medians overlap"


def _bigger(cell: GridCell, base: GridCell) -> Iterator[str]:
    by = cell.peak_mib / base.peak_mib - 1
    if by >= _SAME:
        yield f"BIGGER than {base.plan}: peak {cell.peak_mib:.0f} MiB against {base.peak_mib:.0f} ({by:+.0%})"
