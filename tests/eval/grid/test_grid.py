from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.bundle import Bundle
from mixdq.configs.documents import read_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import remove, write_text
from mixdq.configs.grid_table import CellState, GridTable
from mixdq.configs.latency_table import LatencyTable
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.memory_table import MemoryTable

from .conftest import MakeBundle, Run

QUICK = ("--processes", 1, "--warmup", 1, "--repeats", 2)
SMALL = (*QUICK, "--resolution", 16, "--no-quality")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    write_text(tmp_path / "prompts.txt", "red apple\nblue fish\ngreen hat\n")
    return tmp_path / "prompts.txt"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "grid"


def _rows(out: Path) -> Iterator[dict[str, str]]:
    with (out / "grid.csv").open(newline="") as file:
        yield from csv.DictReader(file)


def test_bundles_become_a_table_of_times_memory_and_quality(
    full: Path, w8a8: Path, out: Path, prompts: Path, run: Run
) -> None:
    judged = ("--prompts", prompts, "--count", 3, "--resolution", 24, "--metrics", "ssim,psnr")
    code, output, error = run("grid", "--bundle", full, "--bundle", w8a8, "--out", out, *QUICK, *judged)
    assert (code, error) == (0, "")
    assert "2 of 2 cells measured" in output
    table = GridTable.read(out / "grid.json")
    assert [(cell.plan, cell.resolution) for cell in table.cells] == [("full", 24), ("w8a8", 24)]
    assert [(plan.weight_bits, plan.quantizes) for plan in table.plans] == [(16.0, False), (8.0, True)]
    for cell in table.cells:
        assert 0 < cell.p50_ms <= cell.p95_ms
        assert cell.peak_mib > 0
        score = cell.score("SSIM (window")
        assert score is not None
        assert score.count == 3
        # The two bundles hold the same networks: their pictures are equal.
        assert score.value == pytest.approx(1)
    assert table.count == 3
    _check_csv(out, table)
    # Other commands read the same figures.
    times = LatencyTable.read(out / "latency.json")
    found = times.find("picture", resolution=24, batch=2, source="w8a8")
    assert found == table.cells[1].picture
    assert len(times.runs) == 2
    assert len(MemoryTable.read(out / "memory.json").rows) == 2
    code, again, _ = run("grid", "--bundle", full, "--bundle", w8a8, "--out", out, *QUICK, *judged)
    assert code == 0
    assert " of 2  " not in again
    assert GridTable.read(out / "grid.json") == table


def _check_csv(out: Path, table: GridTable) -> None:
    rows = list(_rows(out))
    assert list(rows[0])[:6] == ["wbits", "res", "p50_ms", "p95_ms", "peak_mem_GB", "clipscore"]
    assert [(row["wbits"], row["res"]) for row in rows] == [("16", "24"), ("8", "24")]
    first, cell = rows[0], table.cells[0]
    assert float(first["p50_ms"]) == pytest.approx(cell.p50_ms, abs=1e-3)
    assert float(first["peak_mem_GB"]) == pytest.approx(cell.peak_mib * 1.048576e-3, abs=1e-4)
    assert first["clipscore"] == ""
    assert float(first["SSIM (window 7)"]) == pytest.approx(1)
    assert len({row["config_digest"] for row in rows}) == 2


def test_a_bundle_under_a_second_name_is_refused_with_both(
    full: Path, make: MakeBundle, out: Path, run: Run
) -> None:
    import shutil

    twin = shutil.copytree(full, full.with_name("w6a8"))
    code, _, error = run("grid", "--bundle", full, "--bundle", twin, "--out", out, *SMALL)
    assert code == 2
    assert "full and w6a8 are the same configuration under two names (config digest" in error


def test_a_folder_of_another_number_of_repeats_machine_or_version_is_refused(
    full: Path, out: Path, run: Run
) -> None:
    from mixdq.configs.documents import to_json
    from mixdq.eval.grid.header import Header, claim

    grid = ("grid", "--bundle", full, "--out", out, "--resolution", 16, "--no-quality", *QUICK[:4])
    assert run(*grid, "--repeats", 2)[0] == 0
    code, _, error = run(*grid, "--repeats", 3)
    assert code == 2
    assert "holds a grid that differs in settings repeats: 2 and 3 (there and here)" in error
    header = read_json(Header, out / "header.json", EvaluationError)
    for other, message in (
        (replace(header, machine={**header.machine, "processor": "Z80"}), "differs in machine processor"),
        (replace(header, versions={**header.versions, "mixdq": "99"}), "differs in versions mixdq"),
        (replace(header, count=64), "differs in count: 64 and 0"),
    ):
        write_text(out / "header.json", to_json(other))
        with pytest.raises(EvaluationError, match=message):
            claim(out, header)


def test_a_folder_of_something_else_is_left_alone(full: Path, out: Path, run: Run) -> None:
    write_text(out / "thesis.txt", "x")
    code, _, error = run("grid", "--bundle", full, "--out", out, *SMALL)
    assert code == 2
    assert "holds files and no header.json of a grid" in error


def test_bundles_of_two_models_are_refused(full: Path, w8a8: Path, out: Path, run: Run) -> None:
    replace(Bundle.read(w8a8), model=ModelIdentity("other", "f" * 64)).write(w8a8)
    code, _, error = run("grid", "--bundle", full, "--bundle", w8a8, "--out", out, *SMALL)
    assert code == 2
    assert "a grid is of one model" in error
    assert "other (ffffffffffff)" in error


def test_a_cell_without_figures_has_its_reason_in_table_and_csv(
    full: Path, w8a8: Path, out: Path, run: Run
) -> None:
    grid = ("grid", "--bundle", full, "--bundle", w8a8, "--out", out, *SMALL)
    (w8a8 / "unet-16.onnx").rename(w8a8 / "lost.onnx")
    code, output, _ = run(*grid)
    assert code == 0
    assert "1 of 2 cells measured" in output
    assert "w8a8 at 16 pixels, cpu on cpu, batch 2: bundle gone: " in output
    lost = GridTable.read(out / "grid.json").cells[1]
    assert lost.state is CellState.GONE
    assert "unet-16.onnx is missing" in lost.reason
    row = list(_rows(out))[1]
    assert (row["wbits"], row["p50_ms"], row["state"]) == ("8", "", "bundle gone")
    assert "unet-16.onnx is missing" in row["reason"]
    (w8a8 / "lost.onnx").rename(w8a8 / "unet-16.onnx")
    run(*grid)
    assert GridTable.read(out / "grid.json").cells[1].is_measured


def test_without_full_precision_there_is_no_quality_and_it_says_why(
    w8a8: Path, out: Path, prompts: Path, run: Run
) -> None:
    quick = (*QUICK, "--resolution", 16, "--prompts", prompts, "--count", 2)
    code, output, _ = run("grid", "--bundle", w8a8, "--out", out, *quick)
    assert code == 0
    assert "not scored: all metrics at 16 pixels: the grid has no full precision" in output


def test_bits_without_a_model_and_a_gpu_that_is_not_there_are_refused(
    full: Path, out: Path, run: Run
) -> None:
    code, _, error = run("grid", "--bits", 8, "--out", out)
    assert code == 2
    assert "name the model that --bits and --plan are of" in error
    code, _, error = run("grid", "--bundle", full, "--device", "cuda", "--out", out)
    assert code == 2
    assert "this machine has none" in error


def test_pictures_of_engines_that_were_built_anew_are_drawn_anew(
    full: Path, w8a8: Path, make: MakeBundle, out: Path, prompts: Path, run: Run
) -> None:
    from mixdq.configs.precision import Precision

    grid = (*QUICK, "--resolution", 16, "--prompts", prompts, "--count", 2)
    run("grid", "--bundle", w8a8, "--out", out, *grid)
    manifest = out / "pictures" / "w8a8-16-cpu" / "manifest.json"
    before = manifest.read_bytes()
    remove(w8a8)
    make("w8a8", Precision(6, 8))
    assert run("grid", "--bundle", w8a8, "--out", out, *grid)[0] == 0
    assert manifest.read_bytes() != before
