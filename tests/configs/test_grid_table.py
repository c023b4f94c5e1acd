from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.configs.grid_table import (
    CellState,
    GridCell,
    GridPlan,
    GridTable,
    HeldOut,
    PerformanceModel,
)
from mixdq.configs.latency_table import LatencyRow
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.memory_table import MemoryRow
from mixdq.configs.quality_table import Score

FULL = GridPlan(
    name="full",
    words="full precision: nothing is quantized",
    summary="FP16",
    weight_bits=16.0,
    activation_bits=16.0,
    quantizes=False,
    plan_digest="1" * 64,
    config_digest="2" * 64,
    bundle="bundles/full",
    bundle_sha256="3" * 64,
)
W8A8 = replace(FULL, name="w8a8", weight_bits=8.0, quantizes=True, config_digest="4" * 64)
TIME = LatencyRow(
    name="picture",
    kind="stage",
    precision="FP16",
    plan_digest="1" * 64,
    target="cpu",
    device="cpu",
    resolution=128,
    batch=1,
    median_us=48_000.0,
    lower_quartile_us=47_000.0,
    upper_quartile_us=49_000.0,
    p95_us=52_000.0,
    runs=60,
    processes=2,
    lowest_process_us=47_500.0,
    highest_process_us=48_500.0,
    source="full",
    model="tiny",
    steps=1,
    clock="wall",
    run_digest="5" * 64,
)
MEMORY = MemoryRow(
    source="full",
    model="tiny",
    precision="FP16",
    plan_digest="1" * 64,
    target="cpu",
    device="cpu",
    resolution=128,
    batch=1,
    steps=1,
    weights_mib=66.0,
    host_baseline_mib=70.0,
    host_peak_mib=209.0,
    allocator_allocated_mib=None,
    allocator_reserved_mib=None,
    gpu_process_mib=None,
    gpu_before_mib=None,
    gpu_peak_mib=None,
    gpu_after_mib=None,
    pictures=33,
    run_digest="6" * 64,
)
CELL = GridCell(
    plan="full",
    resolution=128,
    target="cpu",
    device="cpu",
    batch=1,
    state=CellState.MEASURED,
    reason="",
    engines_sha256="7" * 64,
    times=(TIME,),
    memory=MEMORY,
    scores=(Score("SSIM, whole picture", 1.0, 1.0, 1.0, 64, True, None, None),),
    refused={},
    pictures_sha256="8" * 64,
)
QUANTIZED = replace(CELL, plan="w8a8", engines_sha256="9" * 64)
GONE = replace(
    CELL,
    plan="w8a8",
    state=CellState.OUT_OF_MEMORY,
    reason="memory ran out",
    times=(),
    memory=None,
    scores=(),
)
TABLE = GridTable(
    model=ModelIdentity("tiny", "a" * 64),
    plans=(FULL, W8A8),
    cells=(CELL, QUANTIZED),
    models=(
        PerformanceModel(
            "p50_ms",
            "cpu",
            "cpu",
            1,
            "line",
            "a + b x",
            {"full": (1.0, 2.0)},
            (HeldOut("full", 128, 10, 11),),
        ),
    ),
    warnings=(),
    not_scored={},
    prompts_digest="b" * 64,
    count=64,
    seed=0,
    steps=1,
    settings={"repeats": "30"},
    machine={"processor": "A"},
    versions={"mixdq": "1"},
)


def test_a_table_that_was_written_is_read_again(tmp_path: Path) -> None:
    TABLE.write(tmp_path / "grid.json")
    assert GridTable.read(tmp_path / "grid.json") == TABLE


def test_a_cell_gives_its_figures_in_milliseconds_and_mib() -> None:
    assert (CELL.p50_ms, CELL.p95_ms, CELL.peak_mib) == (48.0, 52.0, 139.0)
    score = CELL.score("SSIM")
    assert score is not None
    assert score.value == 1.0
    assert CELL.score("CLIP") is None


def test_full_precision_is_found_at_the_same_size_on_the_same_back_end() -> None:
    assert TABLE.full_precision(QUANTIZED) is CELL
    assert TABLE.full_precision(replace(QUANTIZED, resolution=192)) is None
    assert TABLE.full_precision(replace(QUANTIZED, target="rtx:sm89")) is None


def test_one_configuration_under_two_names_is_refused_with_both() -> None:
    twin = replace(W8A8, name="w6a8")
    with pytest.raises(EvaluationError, match="w8a8 and w6a8 are the same configuration under two names"):
        replace(TABLE, plans=(FULL, W8A8, twin))


def test_a_cell_that_is_there_twice_or_of_no_plan_is_refused() -> None:
    with pytest.raises(EvaluationError, match="full at 128 pixels, cpu on cpu is there twice"):
        replace(TABLE, cells=(CELL, CELL))
    with pytest.raises(EvaluationError, match="w2a8 at 128 pixels"):
        replace(TABLE, cells=(replace(CELL, plan="w2a8"),))


def test_a_cell_without_figures_does_not_count_as_measured() -> None:
    table = replace(TABLE, cells=(CELL, GONE))
    assert table.measured == (CELL,)
    with pytest.raises(ValueError, match="figures are there: False"):
        replace(GONE, state=CellState.MEASURED)
    with pytest.raises(ValueError, match="figures are there: True"):
        replace(CELL, state=CellState.FAILED)


def test_the_worst_error_of_a_model_has_no_sign() -> None:
    model = replace(TABLE.models[0], held_out=(HeldOut("full", 128, 10, 11), HeldOut("full", 192, 10, 8)))
    assert model.worst_error == pytest.approx(0.2)
    assert replace(model, held_out=()).worst_error is None


def test_a_table_of_another_version_is_refused_with_the_command(tmp_path: Path) -> None:
    path = tmp_path / "grid.json"
    path.write_text('{"version": 0}')
    with pytest.raises(EvaluationError, match=r"no grid of version 1.*mixdq-eval grid.*its version is 0"):
        GridTable.read(path)
