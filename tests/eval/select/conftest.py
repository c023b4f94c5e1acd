"""Points whose order can be worked out by hand, and a grid on disk that holds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mixdq.configs.console import run_app
from mixdq.configs.grid_table import CellState, GridCell, GridPlan, GridTable
from mixdq.configs.latency_table import LatencyRow
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.memory_table import MemoryRow
from mixdq.configs.quality_table import Score
from mixdq.eval.cli import app

Run = Callable[..., tuple[int, str, str]]
Figures = tuple[float, float, float | None, tuple[float, float, float] | None]
"""Milliseconds, MiB, SSIM, and what the score against prompts is apart from full precision's."""

MakeGrid = Callable[[Mapping[tuple[str, int], Figures]], GridTable]

CELLS: Mapping[tuple[str, int], Figures] = {
    ("full", 128): (50, 140, 1.00, (0.0, 0.0, 0.0)),
    ("w8a8", 128): (40, 110, 0.97, (-0.002, -0.005, 0.001)),
    ("w4a8", 128): (60, 105, 0.80, (-0.050, -0.060, -0.040)),
    ("full", 256): (160, 250, 1.00, (0.0, 0.0, 0.0)),
    ("w8a8", 256): (120, 220, 0.96, (-0.003, -0.006, -0.001)),
    ("w4a8", 256): (125, 225, 0.70, (-0.060, -0.070, -0.050)),
}
"""At both sizes w4a8 is beaten at 256 by w8a8; at 128 it takes the least memory."""


@pytest.fixture
def make_grid() -> MakeGrid:
    """Makes a grid of such cells on the CPU, batch 1."""

    def make(cells: Mapping[tuple[str, int], Figures]) -> GridTable:
        names = dict.fromkeys(plan for plan, _ in cells)
        return GridTable(
            model=ModelIdentity("tiny", "a" * 64),
            plans=tuple(_plan(name) for name in names),
            cells=tuple(_cell(plan, size, figures) for (plan, size), figures in cells.items()),
            models=(),
            warnings=(),
            not_scored={},
            prompts_digest="b" * 64,
            count=64,
            seed=0,
            steps=1,
            settings={},
            machine={"processor": "A"},
            versions={"mixdq": "1"},
        )

    return make


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Exit code, output and errors of `mixdq-eval`."""
    monkeypatch.setenv("COLUMNS", "250")

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run_app(app, [str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def grid_file(make_grid: MakeGrid, tmp_path: Path) -> Path:
    """The grid of `CELLS`."""
    make_grid(CELLS).write(tmp_path / "grid.json")
    return tmp_path / "grid.json"


def _plan(name: str) -> GridPlan:
    return GridPlan(
        name=name,
        words="a test",
        summary=name.upper(),
        weight_bits=16.0,
        activation_bits=16.0,
        quantizes=name != "full",
        plan_digest=name,
        config_digest=name,
        bundle=name,
        bundle_sha256=name,
    )


def _cell(plan: str, resolution: int, figures: Figures) -> GridCell:
    p95_ms, peak_mib, ssim, against = figures
    scores = []
    if ssim is not None:
        scores.append(Score("SSIM (window 7)", ssim, ssim - 0.01, ssim + 0.01, 64, True, None, None))
    if against is not None:
        scores.append(Score("emoji alignment", 0.7 + against[0], 0.6, 0.8, 64, True, against, None))
    return GridCell(
        plan=plan,
        resolution=resolution,
        target="cpu",
        device="cpu",
        batch=1,
        state=CellState.MEASURED,
        reason="",
        engines_sha256=f"{plan}{resolution}",
        times=(_time(plan, resolution, p95_ms),),
        memory=_memory(plan, resolution, peak_mib),
        scores=tuple(scores),
        refused={},
        pictures_sha256="",
    )


def _time(plan: str, resolution: int, p95_ms: float) -> LatencyRow:
    return LatencyRow(
        name="picture",
        kind="stage",
        precision=plan,
        plan_digest=plan,
        target="cpu",
        device="cpu",
        resolution=resolution,
        batch=1,
        median_us=900 * p95_ms,
        lower_quartile_us=800 * p95_ms,
        upper_quartile_us=950 * p95_ms,
        p95_us=1000 * p95_ms,
        runs=60,
        processes=3,
        lowest_process_us=850 * p95_ms,
        highest_process_us=940 * p95_ms,
        source=plan,
        model="tiny",
        steps=1,
        clock="wall",
        run_digest="1" * 64,
    )


def _memory(plan: str, resolution: int, peak_mib: float) -> MemoryRow:
    return MemoryRow(
        source=plan,
        model="tiny",
        precision=plan,
        plan_digest=plan,
        target="cpu",
        device="cpu",
        resolution=resolution,
        batch=1,
        steps=1,
        weights_mib=60.0,
        host_baseline_mib=70.0,
        host_peak_mib=70.0 + peak_mib,
        allocator_allocated_mib=None,
        allocator_reserved_mib=None,
        gpu_process_mib=None,
        gpu_before_mib=None,
        gpu_peak_mib=None,
        gpu_after_mib=None,
        pictures=10,
        run_digest="1" * 64,
    )
