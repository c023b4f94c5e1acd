"""Measured cells, made up."""

from __future__ import annotations

from mixdq.configs.grid_table import CellState, GridCell
from mixdq.configs.latency_table import LatencyRow
from mixdq.configs.memory_table import MemoryRow


def measured_cell(
    plan: str,
    p95_ms: float,
    peak_mib: float,
    processes: tuple[float, float] = (40, 50),
    resolution: int = 128,
    median_ms: float = 45,
    others: float | None = None,
) -> GridCell:
    """A cell on the CPU; `processes` are the lowest and the highest of its processes' medians."""
    time = LatencyRow(
        name="picture",
        kind="stage",
        precision="",
        plan_digest=None,
        target="cpu",
        device="cpu",
        resolution=resolution,
        batch=1,
        median_us=median_ms * 1000,
        lower_quartile_us=44_000,
        upper_quartile_us=46_000,
        p95_us=p95_ms * 1000,
        runs=60,
        processes=3,
        lowest_process_us=processes[0] * 1000,
        highest_process_us=processes[1] * 1000,
        source=plan,
        model="tiny",
        steps=1,
        clock="wall",
        run_digest="5",
    )
    memory = MemoryRow(
        plan, "tiny", "", None, "cpu", "cpu", resolution, 1, 1, 60.0, 70.0, 70.0 + peak_mib,
        None, None, None, None, None, None, 10, "5",
    )  # fmt: skip
    return GridCell(
        plan,
        resolution,
        "cpu",
        "cpu",
        1,
        CellState.MEASURED,
        "",
        plan,
        (time,),
        memory,
        (),
        {},
        "",
        others,
    )
