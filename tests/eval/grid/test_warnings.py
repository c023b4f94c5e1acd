from __future__ import annotations

from dataclasses import replace

from mixdq.configs.grid_table import GridPlan
from mixdq.eval.grid.warnings import crowd_of, warnings_of

from .measured import measured_cell as _cell

FULL = GridPlan("full", "", "FP16", 16.0, 16.0, False, "1", "2", "full", "3")
PLANS = (FULL, replace(FULL, name="w8a8", quantizes=True, config_digest="4"))


def test_a_quantized_cell_that_is_slower_and_bigger_is_named_with_both() -> None:
    (line,) = warnings_of(PLANS, [_cell("full", 50, 140), _cell("w8a8", 60, 154, (51, 60))])
    assert line.startswith(
        "w8a8 at 128 pixels, cpu on cpu: SLOWER than full: p95 60.0 ms against 50.0 (+20%;"
    )
    assert "overlap" not in line
    assert "BIGGER than full: peak 154 MiB against 140 (+10%)" in line


def test_a_difference_that_processes_of_one_cell_show_too_is_not_called_slower() -> None:
    (line,) = warnings_of(PLANS, [_cell("full", 50, 140), _cell("w8a8", 60, 110)])
    assert "not told apart from full precision in time: p95 60.0 ms against 50.0" in line
    assert "SLOWER" not in line
    assert "BIGGER" not in line


def test_what_rounds_to_no_percent_is_not_named() -> None:
    full = _cell("full", 50, 1000)
    assert not list(warnings_of(PLANS, [full, _cell("w8a8", 50.2, 1004, (51, 60))]))
    (line,) = warnings_of(PLANS, [full, _cell("w8a8", 50.3, 1006, (51, 60))])
    assert "(+1%; p50" in line
    assert "BIGGER than full: peak 1006 MiB against 1000 (+1%)" in line


def test_other_processes_that_took_a_processor_are_named_once() -> None:
    cells = [_cell("full", 50, 140, others=0.1), _cell("w8a8", 50, 140, others=1.7)]
    (line,) = crowd_of(cells, {"cores": "2"})
    assert line == (
        "other processes took 0.9 of 2 processors while times were measured (0.1 to 1.7, more than 0.2 "
        "beside 1 of 2 cells): times say little"
    )


def test_a_quiet_machine_or_one_where_nobody_counted_is_not_named() -> None:
    assert not list(crowd_of([_cell("full", 50, 140, others=0.2)], {"cores": "2"}))
    assert not list(crowd_of([_cell("full", 50, 140)], {"cores": "2"}))


def test_a_cell_that_costs_no_more_is_not_named() -> None:
    assert not list(warnings_of(PLANS, [_cell("full", 50, 140), _cell("w8a8", 50, 140)]))


def test_full_precision_of_another_size_is_no_measure() -> None:
    assert not list(warnings_of(PLANS, [_cell("full", 50, 140, resolution=192), _cell("w8a8", 60, 154)]))
