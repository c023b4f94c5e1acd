from __future__ import annotations

from pathlib import Path

from mixdq.eval.load.matrix import Cell, write_cells
from mixdq.eval.reproduce.made import beside
from mixdq.eval.reproduce.queue import matrix_rows
from mixdq.eval.reproduce.recipe import RecipeName, read_recipe


def _cell(pattern: str, conc: int | None, lam: float | None, p95_ms: float | None) -> Cell:
    return Cell(
        pattern="burst" if pattern == "burst" else "poisson",
        wbits="FP16",
        policy="static",
        conc=conc,
        lam=lam,
        p95_ms=p95_ms,
        p99_ms=p95_ms,
        p50_ms=p95_ms,
        requests=10,
        made=0 if p95_ms is None else 10,
        dropped_share=1.0 if p95_ms is None else 0.0,
        in_time_share=None,
        per_s=1.0,
        mean_utility=None,
        lag_p99_ms=1.0,
        served="static:256",
        bundle="full",
        plan="FP16",
    )


def test_rows_are_named_so_that_the_earlier_report_s_figures_stand_beside(tmp_path: Path) -> None:
    cells = [
        _cell("burst", 2, None, 300.0),
        _cell("poisson", None, 4.0, 200.5),
        _cell("poisson", None, 0.5, None),
    ]
    write_cells(tmp_path / "cells.csv", cells)
    rows = beside(matrix_rows(tmp_path / "cells.csv"), read_recipe(RecipeName.QUEUE).rows)
    found = {row.name: row for row in rows}
    assert found["FP16 static burst 2"].ours["p95_ms"].value == 300
    assert found["FP16 static burst 2"].paper == {"p95_ms": 8415}
    assert found["FP16 static poisson 4"].ours["p95_ms"].value == 200.5
    assert found["FP16 static poisson 4"].paper == {"p95_ms": 7789}
    assert "in_time" not in found["FP16 static poisson 4"].ours
    assert found["FP16 static poisson 0.5"].ours["dropped"].value == 1
    assert "p95_ms" not in found["FP16 static poisson 0.5"].ours
    # What the report has and nobody sent here follows.
    assert len(rows) == 3 + 14
