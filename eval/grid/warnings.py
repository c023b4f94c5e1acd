"""What must not be overlooked in a grid: quantized cells that cost more than full precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixdq.configs.grid_table import GridCell, GridPlan


def warnings_of(plans: Sequence[GridPlan], cells: Sequence[GridCell]) -> Iterator[str]:
    """A line for each quantized cell that is slower or bigger than full precision at its size and place.

    Slower is by the 95th percentile, bigger by the peak of memory. A difference in time that the processes
    of one cell show among themselves too is said to be one.

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
    if cell.p95_ms <= base.p95_ms:
        return
    apart = cell.picture.lowest_process_us > base.picture.highest_process_us
    doubt = "" if apart else ", but their processes' medians overlap"
    yield (
        f"SLOWER than {base.plan}: p95 {cell.p95_ms:.1f} ms against {base.p95_ms:.1f} "
        f"({cell.p95_ms / base.p95_ms - 1:+.0%}; p50 {cell.p50_ms / base.p50_ms - 1:+.0%}{doubt})"
    )


def _bigger(cell: GridCell, base: GridCell) -> Iterator[str]:
    if cell.peak_mib > base.peak_mib:
        yield (
            f"BIGGER than {base.plan}: peak {cell.peak_mib:.0f} MiB against {base.peak_mib:.0f} "
            f"({cell.peak_mib / base.peak_mib - 1:+.0%})"
        )
