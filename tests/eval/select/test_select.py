from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.configs.grid_table import GridTable
from mixdq.eval.select.pareto import pareto_set
from mixdq.eval.select.points import points_of
from mixdq.eval.select.selection import Selection

from .conftest import CELLS, MakeGrid, Run

ALIGNMENT = "emoji alignment"


def _chosen(out: Path) -> tuple[str, int] | None:
    point = Selection.read(out).chosen
    return None if point is None else (point.plan, point.resolution)


def _names(table: GridTable, metric: str | None) -> set[tuple[str, int]]:
    return {(one.plan, one.resolution) for one in pareto_set(points_of({Path("a"): table}), metric)}


def test_no_point_of_the_pareto_set_is_beaten_in_everything(make_grid: MakeGrid) -> None:
    table = make_grid(CELLS)
    assert _names(table, ALIGNMENT) == set(CELLS) - {("w4a8", 256)}
    # Without quality full precision, slower and bigger than w8a8, has nothing to show.
    assert _names(table, None) == {("w8a8", 128), ("w4a8", 128), ("w8a8", 256)}


def test_two_equal_points_are_both_in_the_pareto_set(make_grid: MakeGrid) -> None:
    same = (50.0, 100.0, None, None)
    assert len(_names(make_grid({("full", 128): same, ("w8a8", 128): same}), None)) == 2


def test_without_wishes_the_highest_resolution_of_the_best_quality_is_chosen(
    grid_file: Path, run: Run, tmp_path: Path
) -> None:
    code, output, _ = run("select", grid_file, "--out", tmp_path / "s.json")
    assert code == 0
    assert _chosen(tmp_path / "s.json") == ("full", 256)
    assert "6 of 6 meet all wishes" in output


def test_each_wish_says_what_it_excludes(grid_file: Path, run: Run, tmp_path: Path) -> None:
    wishes = ("--slo-ms", 130, "--memory", "230MiB", "--min-quality", "emoji=0.645")
    code, output, _ = run("select", grid_file, *wishes, "--out", tmp_path / "s.json")
    assert code == 0
    assert "p95 at most 130 ms excludes 1 of 6: full at 256" in output
    assert "peak memory at most 230 MiB excludes 1 of 6: full at 256" in output
    assert "emoji alignment at least 0.645 excludes 1 of 6: w4a8 at 256" in output
    assert "4 of 6 meet all wishes" in output
    # Full precision loses nothing at 128 pixels; the interval of w8a8 there holds 0, that at 256 does not.
    assert "2 are equal in it" in output
    assert "by latency: p95 40.0 ms is the lowest" in output
    assert _chosen(tmp_path / "s.json") == ("w8a8", 128)


def test_what_intervals_do_not_tell_apart_is_decided_by_latency(
    grid_file: Path, run: Run, tmp_path: Path
) -> None:
    run("select", grid_file, "--slo-ms", 100, "--out", tmp_path / "s.json")
    assert _chosen(tmp_path / "s.json") == ("w8a8", 128)


@pytest.mark.parametrize(
    ("prefer", "chosen"),
    [("resolution", ("w8a8", 256)), ("latency", ("w8a8", 128)), ("memory", ("w4a8", 128))],
)
def test_the_preference_comes_first(
    grid_file: Path, run: Run, tmp_path: Path, prefer: str, chosen: tuple[str, int]
) -> None:
    run("select", grid_file, "--slo-ms", 150, "--prefer", prefer, "--out", tmp_path / "s.json")
    assert _chosen(tmp_path / "s.json") == chosen


def test_wishes_that_nothing_meets_name_the_nearest_point_and_by_how_much(
    grid_file: Path, run: Run, tmp_path: Path
) -> None:
    code, output, _ = run(
        "select", grid_file, "--slo-ms", 39, "--memory", "100MiB", "--out", tmp_path / "s.json"
    )
    assert code == 1
    assert "0 of 6 meet all wishes" in output
    # By hand: 110/100 - 1 = 10 % and 40/39 - 1 = 2.6 %; w4a8 is off by 60/39 - 1 = 54 % in time.
    assert "nearest: w8a8 at 128 pixels, cpu on cpu" in output
    assert "(off by 2.6%)" in output
    assert "(off by 10.0%)" in output
    assert _chosen(tmp_path / "s.json") is None


def test_resolutions_and_back_ends_can_be_fixed(grid_file: Path, run: Run, tmp_path: Path) -> None:
    run("select", grid_file, "--resolution", 128, "--target", "cpu", "--out", tmp_path / "s.json")
    assert _chosen(tmp_path / "s.json") == ("w8a8", 128)
    code, _, error = run("select", grid_file, "--target", "rtx:sm89")
    assert code == 2
    assert "no cell was measured on rtx:sm89; the grids have cpu" in error


def test_a_resolution_that_no_cell_has_is_refused_with_those_that_there_are(
    grid_file: Path, run: Run
) -> None:
    code, _, error = run("select", grid_file, "--resolution", 512)
    assert code == 2
    assert "no cell was measured at 512 pixels; the grids have 128, 256" in error


def test_a_beginning_of_several_metrics_is_refused_with_the_words_to_write(
    make_grid: MakeGrid, run: Run, tmp_path: Path
) -> None:
    table = make_grid(CELLS)
    first = table.cells[0]
    whole = replace(first.scores[0], metric="SSIM (whole picture)")
    cells = (replace(first, scores=(whole, *first.scores)), *table.cells[1:])
    replace(table, cells=cells).write(tmp_path / "grid.json")
    code, _, error = run("select", tmp_path, "--min-quality", "ssim=0.95")
    assert code == 2
    assert "names several: SSIM (whole picture), SSIM (window 7)" in error
    assert 'write --min-quality "SSIM (window 7)=0.95"' in error


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (("--slo-ms", 0.5), "40.0 ms where p95 at most 0.5 ms was wished (off by 79 times the limit)"),
        (("--slo-ms", 39.999), "40.0 ms where p95 at most 39.999 ms was wished (off by 0.0025%)"),
        (
            ("--min-quality", "emoji=0.700001"),
            "0.7 where emoji alignment at least 0.700001 was wished (off by 0.00014%)",
        ),
    ],
)
def test_what_rounding_would_hide_and_what_percent_can_t_tell_is_said(
    grid_file: Path, run: Run, wish: tuple[object, ...], words: str
) -> None:
    assert words in run("select", grid_file, *wish)[1]


def test_a_figure_that_misses_its_limit_is_not_written_as_the_limit_is(
    make_grid: MakeGrid, run: Run, tmp_path: Path
) -> None:
    make_grid({("full", 128): (50.004, 140, 0.979996, None)}).write(tmp_path / "grid.json")
    _, output, _ = run("select", tmp_path, "--min-quality", "ssim=0.98", "--slo-ms", 50)
    assert "50.004 ms where p95 at most 50 ms was wished (off by 0.008%)" in output
    assert "0.979996 where SSIM (window 7) at least 0.98 was wished (off by 0.00041%)" in output


def test_a_single_point_that_is_left_is_not_said_to_be_beaten_by_no_other(grid_file: Path, run: Run) -> None:
    _, output, _ = run("select", grid_file, "--slo-ms", 40)
    assert "1 of 6 meets all wishes" in output
    assert "beaten by no other in everything" not in output
    assert "chosen: w8a8 at 128" in output


def test_other_processes_that_ran_beside_are_said(make_grid: MakeGrid, run: Run, tmp_path: Path) -> None:
    table = make_grid(CELLS)
    assert "other processes" not in " ".join(run("select", _written(table, tmp_path))[1:])
    crowded = replace(table, cells=tuple(replace(cell, others_busy=1.5) for cell in table.cells))
    _, output, _ = run("select", _written(crowded, tmp_path))
    assert "other processes took 1.5 processors while times were measured" in output


def _written(table: GridTable, folder: Path) -> Path:
    table.write(folder / "grid.json")
    return folder


def test_without_scores_it_says_that_quality_counts_for_nothing(
    make_grid: MakeGrid, run: Run, tmp_path: Path
) -> None:
    bare = {place: (ms, mib, None, None) for place, (ms, mib, _, _) in CELLS.items()}
    make_grid(bare).write(tmp_path / "grid.json")
    code, output, _ = run("select", tmp_path, "--slo-ms", 130)
    assert code == 0
    assert "no pictures were scored" in output
    assert "chosen: w8a8 at 256" in output


def test_a_metric_that_was_not_measured_or_a_limit_that_is_none_is_refused(grid_file: Path, run: Run) -> None:
    code, _, error = run("select", grid_file, "--min-quality", "FID=20")
    assert code == 2
    assert "the metric 'FID' was not measured; the grids have SSIM (window 7), emoji alignment" in error
    for text in ("ssim", "ssim=much", "=3", "ssim=nan"):
        code, _, error = run("select", grid_file, "--min-quality", text)
        assert code == 2
        assert "write METRIC=VALUE, as in PSNR=30" in error


def test_grids_of_other_machines_or_pictures_are_not_chosen_from_together(make_grid: MakeGrid) -> None:
    one = make_grid(CELLS)
    for other, message in (
        (replace(one, machine={"processor": "B"}), "different machines"),
        (replace(one, versions={"mixdq": "2"}), "different versions"),
        (replace(one, count=32), "differ in number of pictures"),
        (replace(one, prompts_digest="c" * 64), "differ in prompts"),
        (one, "full at 128 pixels, cpu on cpu is in a and in b; leave one of them out"),
    ):
        with pytest.raises(EvaluationError, match=message):
            points_of({Path("a"): one, Path("b"): other})
