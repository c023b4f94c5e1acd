from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.configs.latency_table import LatencyRow, LatencyRun, LatencyTable

ROW = LatencyRow(
    name="unet",
    kind="stage",
    precision="W8A8",
    plan_digest="1" * 64,
    target="cpu",
    device="cpu",
    resolution=512,
    batch=1,
    median_us=10.0,
    lower_quartile_us=9.0,
    upper_quartile_us=11.0,
    p95_us=12.0,
    runs=60,
    processes=3,
    lowest_process_us=9.5,
    highest_process_us=10.5,
    source="w8a8",
    model="tiny",
    steps=1,
    clock="wall",
    run_digest="2" * 64,
)
FP16 = replace(ROW, precision="FP16", plan_digest="3" * 64, source="full", median_us=20.0)
MACHINE = {"processor": "A", "gpu": "none"}


def _table(*rows: LatencyRow, machine: dict[str, str] = MACHINE, **versions: str) -> LatencyTable:
    return LatencyTable(rows, machine, versions)


def test_a_row_is_found_by_what_tells_it_from_the_others() -> None:
    larger = replace(ROW, resolution=768)
    table = _table(ROW, FP16, larger, replace(ROW, name="vae"))
    assert table.find("unet", resolution=512, batch=1, precision="FP16") is FP16
    assert table.find("unet", resolution=512, batch=1, plan_digest="1" * 64) is ROW
    assert table.find("unet", resolution=768, batch=1) is larger


def test_a_row_that_is_missing_is_refused_with_those_that_are_there() -> None:
    table = _table(ROW, replace(ROW, resolution=768))
    with pytest.raises(EvaluationError, match=r"no row for unet with resolution 1024, batch 1; it has unet"):
        table.find("unet", resolution=1024, batch=1)
    with pytest.raises(EvaluationError, match=r"resolution 512, 768.*mixdq-eval latency"):
        table.find("unet", resolution=1024, batch=1)


def test_a_name_that_was_not_measured_is_refused_with_the_stages_that_were() -> None:
    table = _table(ROW, replace(ROW, name="conv_in", kind="layer"))
    with pytest.raises(EvaluationError, match="it has the stages unet and 1 layers"):
        table.find("conv_out", resolution=512, batch=1)


def test_several_rows_are_refused_with_what_they_differ_in() -> None:
    with pytest.raises(EvaluationError, match=r"2 rows for unet .* in precision FP16, W8A8; plan_digest"):
        _table(ROW, FP16).find("unet", resolution=512, batch=1)


def test_what_is_measured_again_replaces_its_row_and_no_other() -> None:
    again = replace(ROW, median_us=11.0, run_digest="4" * 64)
    assert _table(ROW, FP16).updated([again]).rows == (again, FP16)


RUN = LatencyRun("red apple", 0, 3, 20, "5" * 64, {"vae": {"vae.onnx": "6" * 64}})


def test_what_rows_came_from_stays_with_them_and_no_longer() -> None:
    table = _table().updated([ROW], {ROW.run_digest: RUN})
    assert LatencyTable.merge([table, _table(replace(FP16, run_digest="7" * 64))]).runs == table.runs
    again = replace(RUN, seed=1)
    assert table.updated([replace(ROW, run_digest="4" * 64)], {"4" * 64: again}).runs == {"4" * 64: again}


def test_tables_of_one_machine_become_one() -> None:
    merged = LatencyTable.merge([_table(ROW, numpy="2"), _table(FP16, ROW, numpy="2", torch="3")])
    assert merged.rows == (ROW, FP16)
    assert merged.versions == {"numpy": "2", "torch": "3"}


def test_tables_of_different_machines_are_not_merged() -> None:
    other = _table(FP16, machine={"processor": "A", "gpu": "B"})
    with pytest.raises(EvaluationError, match=r"different machines \(gpu: none and B\)"):
        LatencyTable.merge([_table(ROW), other])


def test_tables_of_different_versions_are_not_merged() -> None:
    with pytest.raises(EvaluationError, match=r"different versions \(numpy: 2 and 3\)"):
        LatencyTable.merge([_table(ROW, numpy="2"), _table(FP16, numpy="3")])


def test_tables_that_contradict_each_other_are_not_merged() -> None:
    with pytest.raises(EvaluationError, match=r"measured unet of w8a8 \(cpu on cpu, 512 pixels, batch 1\)"):
        LatencyTable.merge([_table(ROW), _table(replace(ROW, median_us=10.5))])


def test_nothing_is_not_merged() -> None:
    with pytest.raises(EvaluationError, match="pass at least one"):
        LatencyTable.merge([])


def test_a_table_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    table = _table(ROW, FP16, numpy="2").updated([], {ROW.run_digest: RUN})
    table.write(tmp_path / "latency.json")
    assert LatencyTable.read(tmp_path / "latency.json") == table


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latency.json"
    path.write_text('{"rows": []}')
    with pytest.raises(
        EvaluationError, match=r"latency.json is no latency table of version 2.*version is missing"
    ):
        LatencyTable.read(path)
