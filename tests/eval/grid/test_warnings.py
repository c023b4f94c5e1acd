from __future__ import annotations

from dataclasses import replace

from mixdq.configs.grid_table import CellState, GridCell, GridPlan
from mixdq.configs.latency_table import LatencyRow
from mixdq.configs.memory_table import MemoryRow
from mixdq.eval.grid.warnings import warnings_of

FULL = GridPlan("full", "", "FP16", 16.0, 16.0, False, "1", "2", "full", "3")
PLANS = (FULL, replace(FULL, name="w8a8", quantizes=True, config_digest="4"))


def _cell(
    plan: str,
    p95_ms: float,
    peak_mib: float,
    processes: tuple[float, float] = (40, 50),
    resolution: int = 128,
) -> GridCell:
    time = LatencyRow(
        name="picture",
        kind="stage",
        precision="",
        plan_digest=None,
        target="cpu",
        device="cpu",
        resolution=resolution,
        batch=1,
        median_us=45_000,
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
        plan, resolution, "cpu", "cpu", 1, CellState.MEASURED, "", plan, (time,), memory, (), {}, ""
    )


def test_a_quantized_cell_that_is_slower_and_bigger_is_named_with_both() -> None:
    (line,) = warnings_of(PLANS, [_cell("full", 50, 140), _cell("w8a8", 60, 154, (51, 60))])
    assert line.startswith(
        "w8a8 at 128 pixels, cpu on cpu: SLOWER than full: p95 60.0 ms against 50.0 (+20%;"
    )
    assert "overlap" not in line
    assert "BIGGER than full: peak 154 MiB against 140 (+10%)" in line


def test_a_difference_that_processes_of_one_cell_show_too_is_said_to_be_one() -> None:
    (line,) = warnings_of(PLANS, [_cell("full", 50, 140), _cell("w8a8", 60, 110)])
    assert "their processes' medians overlap" in line
    assert "BIGGER" not in line


def test_a_cell_that_costs_no_more_is_not_named() -> None:
    assert not list(warnings_of(PLANS, [_cell("full", 50, 140), _cell("w8a8", 50, 140)]))


def test_full_precision_of_another_size_is_no_measure() -> None:
    assert not list(warnings_of(PLANS, [_cell("full", 50, 140, resolution=192), _cell("w8a8", 60, 154)]))
