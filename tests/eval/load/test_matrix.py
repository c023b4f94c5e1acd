"""The matrix's table and its plots."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from mixdq.configs.errors import EvaluationError
from mixdq.eval.load.facts import Facts
from mixdq.eval.load.matrix import (
    CHOOSING,
    Cell,
    Choosing,
    Drawn,
    cell_line,
    make_cell,
    patterns,
    read_cells,
    weight_bits,
    write_cells,
)
from mixdq.eval.load.matrix_plot import plots
from mixdq.eval.load.run import Run
from mixdq.eval.load.schedule import Schedule
from mixdq.eval.load.summary import Summary, summarize
from mixdq.runtime.simulate.calls import Clients

from .conftest import sample

EARLIER = ["pattern", "wbits", "policy", "conc", "lam", "p95_ms", "p99_ms"]
PLAN = "W8A8, 2 of 264 layers W8A16 (BOS-aware, split shortcuts)"


def _summary(name: str, rate: float, clients: int, latency_s: float, statuses: Sequence[int]) -> Summary:
    samples = tuple(
        sample(number, ended_s=latency_s, status=status) for number, status in enumerate(statuses)
    )
    schedule = Schedule(name, rate, clients, tuple(one.planned for one in samples))
    return summarize(Run(schedule, samples, Facts(1.0)))


def _cells(latency_s: dict[Choosing, float], *plans: str) -> list[Cell]:
    """Every pattern of the matrix, of each plan."""
    found = []
    for plan in plans:
        for choosing in CHOOSING:
            for pattern in patterns():
                burst = isinstance(pattern, Clients)
                clients, rate = (
                    (pattern.concurrency, 0.0) if isinstance(pattern, Clients) else (0, pattern.rate_per_s)
                )
                name = "burst" if burst else "poisson"
                summary = _summary(name, rate, clients, latency_s[choosing], [200] * 2)
                found.append(make_cell(summary, choosing, "deadline", "build/bundle", plan))
    return found


def test_a_bundle_has_the_twelve_rows_of_the_earlier_experiment(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_cells(path, _cells({"static": 0.5, "adaptive": 0.4}, PLAN))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:7] == EARLIER
    assert len(rows) == 12
    assert [(row["policy"], row["pattern"], row["conc"], row["lam"]) for row in rows[:6]] == [
        ("static", "burst", "1", ""),
        ("static", "burst", "2", ""),
        ("static", "poisson", "", "0.5"),
        ("static", "poisson", "", "1.0"),
        ("static", "poisson", "", "2.0"),
        ("static", "poisson", "", "4.0"),
    ]
    assert {(row["wbits"], row["p95_ms"], row["p99_ms"]) for row in rows[6:]} == {("8", "400.0", "400.0")}


def test_a_row_tells_what_was_dropped_and_how_many_a_second_were_made() -> None:
    summary = _summary("poisson", 4.0, 0, 2.0, [200, 200, 429, 504])
    cell = make_cell(summary, "adaptive", "deadline", "build/bundle", PLAN)
    assert (cell.dropped_share, cell.per_s, cell.in_time_share) == (0.5, 1.0, 0.0)
    assert cell_line(cell, summary).startswith(
        "8 bits, adaptive (deadline), poisson 4/s: p50 2000.0 ms, p95 2000.0 ms"
    )


@pytest.mark.parametrize(
    ("plan", "bits"),
    [
        (PLAN, "8"),
        ("W4A16 (not BOS-aware, whole shortcuts)", "4"),
        ("FP16", "FP16"),
        ("FP16, 1 of 2 W8A8", "FP16"),
    ],
)
def test_weights_bits_are_those_of_most_layers(plan: str, bits: str) -> None:
    assert weight_bits(plan) == bits


def test_plots_draw_the_figures_of_their_rows() -> None:
    cells = [
        Drawn(cell.pattern, cell.wbits, cell.policy, cell.conc, cell.lam, cell.p95_ms, cell.p99_ms)
        for cell in _cells({"static": 0.5, "adaptive": 0.4}, PLAN)
    ]
    figures = plots(cells)
    (axes,) = figures["poisson_p95_ms"].axes
    assert [(line.get_label(), np.asarray(line.get_ydata()).tolist()) for line in axes.lines] == [
        ("8-bit weights, static", [500.0] * 4),
        ("8-bit weights, adaptive", [400.0] * 4),
    ]
    (axes,) = figures["burst_conc2_p99_ms"].axes
    assert _heights(axes) == [500.0, 400.0]
    (axes,) = figures["burst_conc1_delta_p95_ms"].axes
    assert _heights(axes) == [-100.0]


def _heights(axes: Axes) -> list[float]:
    return [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]


def test_the_earlier_experiment_s_own_columns_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "earlier.csv"
    path.write_text(",".join(EARLIER) + "\nburst,8,static,2,,8415.1,\n")
    assert read_cells(path) == (Drawn("burst", "8", "static", 2, None, 8415.1, None),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pattern,wbits\n", "has no column policy, conc, lam, p95_ms, p99_ms"),
        (",".join(EARLIER) + "\n", "has no row"),
        (",".join(EARLIER) + "\nburst,8,static,two,,1,1\n", "line 2: invalid literal"),
        (
            ",".join(EARLIER) + "\nburst,8,static,2,,1,1\nburst,8,static,2,,3,3\n",
            "two rows of one case (burst, 8",
        ),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(EvaluationError) as refused:
        read_cells(path)
    assert said in str(refused.value)


def test_half_a_matrix_is_not_drawn() -> None:
    one = Drawn("poisson", "8", "static", None, 0.5, 1.0, 1.0)
    with pytest.raises(EvaluationError, match="the results lack Poisson arrivals, static and adaptive"):
        plots([one])
