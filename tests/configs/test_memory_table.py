from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.configs.memory_table import MemoryRow, MemoryTable

ROW = MemoryRow(
    source="full",
    model="tiny",
    precision="FP16",
    plan_digest="1" * 64,
    target="cpu",
    device="cpu",
    resolution=512,
    batch=1,
    steps=1,
    weights_mib=50.0,
    host_baseline_mib=60.0,
    host_peak_mib=200.0,
    allocator_allocated_mib=None,
    allocator_reserved_mib=None,
    gpu_process_mib=None,
    gpu_before_mib=None,
    gpu_peak_mib=None,
    gpu_after_mib=None,
    pictures=2,
    run_digest="2" * 64,
)


def _find(table: MemoryTable, resolution: int) -> MemoryRow:
    return table.find("full", target="cpu", device="cpu", resolution=resolution, batch=1)


def _table(*rows: MemoryRow, gpu: str = "none") -> MemoryTable:
    return MemoryTable(rows, {"gpu": gpu}, {})


def test_the_peak_is_the_hosts_without_its_imports_where_no_gpu_took_part() -> None:
    assert ROW.peak_mib == 140.0


def test_the_peak_on_a_gpu_is_the_best_witness_s() -> None:
    torch = replace(ROW, allocator_allocated_mib=70.0, allocator_reserved_mib=80.0)
    whole = replace(torch, gpu_before_mib=1000.0, gpu_peak_mib=1400.0)
    process = replace(whole, gpu_process_mib=390.0)
    assert [row.peak_mib for row in (torch, whole, process)] == [80.0, 400.0, 390.0]


def test_a_row_is_found_or_refused_with_those_that_are_there() -> None:
    table = _table(ROW, replace(ROW, resolution=768))
    assert _find(table, 768).resolution == 768
    with pytest.raises(EvaluationError, match=r"it has full at 512 pixels, batch 1; full at 768 pixels"):
        _find(table, 1024)


def test_several_rows_of_one_place_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"2 rows .*FP16, 1 steps; FP16, 4 steps"):
        _find(_table(ROW, replace(ROW, steps=4)), 512)


def test_what_is_measured_again_replaces_its_row() -> None:
    again = replace(ROW, host_peak_mib=210.0)
    assert _table(ROW).updated([again]).rows == (again,)


def test_tables_are_merged_on_one_machine_only() -> None:
    other = replace(ROW, source="w8a8")
    assert MemoryTable.merge([_table(ROW), _table(other)]).rows == (ROW, other)
    with pytest.raises(EvaluationError, match="different machines"):
        MemoryTable.merge([_table(ROW), _table(other, gpu="B")])
    with pytest.raises(EvaluationError, match="two of the tables measured full"):
        MemoryTable.merge([_table(ROW), _table(replace(ROW, pictures=3))])


def test_a_table_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    _table(ROW).write(tmp_path / "memory.json")
    assert MemoryTable.read(tmp_path / "memory.json") == _table(ROW)
