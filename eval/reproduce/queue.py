"""The earlier experiment's matrix of load tests, bundle by bundle, so that a stopped one goes on."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from mixdq.configs.files import write_text
from mixdq.eval.load.matrix import RESULTS, read_cells
from mixdq.eval.load.matrix_plot import write_plots
from mixdq.eval.load.queue_tests import Matrix, measure_matrix
from mixdq.eval.load.words import prompts_from
from mixdq.eval.reproduce.columns import COLUMNS
from mixdq.eval.reproduce.made import Made, beside
from mixdq.eval.reproduce.result import Figure, ResultRow
from mixdq.eval.reproduce.workshop import Workshop

_UTILITIES = (0.7, 0.85, 1.0)
"""Of a picture of the smallest, the middle and the largest size: what the deadline policy weighs."""

_WARMUP = 3
_MAX_LAG_MS = 10.0
_COLUMNS = {
    "p50_ms": "p50_ms",
    "p95_ms": "p95_ms",
    "p99_ms": "p99_ms",
    "made": "made",
    "dropped": "dropped_share",
    "in_time": "in_time_share",
    "per_s": "per_s",
    "utility": "mean_utility",
}
"""The matrix's columns, by ours."""


def make_matrix(shop: Workshop) -> Made:
    """Twelve rows a bundle: bursts and Poisson arrivals, static and adaptive.

    Raises:
        MixdqError: see `measure_matrix`.
    """
    out = shop.request.out
    sizes = shop.source.resolutions
    bundles = {row.name: shop.bench.compile(row.name, shop.plan(row).plan, sizes) for row in shop.recipe.made}
    texts, invalid = [], []
    for name, bundle in bundles.items():
        part = out / "bundles" / name
        if not (part / f"{RESULTS}.csv").is_file():
            matrix = _matrix(shop, bundle, sizes)
            measured = measure_matrix(matrix, part, lambda words: shop.bench.watch(words)(0, 0))
            measured.write(part, matrix.settings)
            for line in (*measured.lines, *measured.invalid):
                shop.say(line)
        texts.append((part / f"{RESULTS}.csv").read_text(encoding="utf-8").splitlines())
        log = (part / f"{RESULTS}.txt").read_text(encoding="utf-8").splitlines()
        invalid += [line for line in log if "late" in line and not line.startswith("#")]
    write_text(out / f"{RESULTS}.csv", "\n".join([texts[0][0], *(x for t in texts for x in t[1:])]) + "\n")
    plots = write_plots(read_cells(out / f"{RESULTS}.csv"), out)
    return Made(
        columns=[COLUMNS[key] for key in shop.recipe.columns],
        rows=beside(matrix_rows(out / f"{RESULTS}.csv"), shop.recipe.rows),
        findings=invalid,
        plots=[path.name for path in plots],
        settings={
            "requests of each pattern": str(shop.request.load.requests),
            "objective": f"{shop.request.load.objective_ms:g} ms",
            "utilities": ", ".join(f"{size}={worth:g}" for size, worth in _worth(sizes).items()),
        },
    )


def _matrix(shop: Workshop, bundle: Path, sizes: tuple[int, ...]) -> Matrix:
    load = shop.request.load
    worth = [word for size, one in _worth(sizes).items() for word in ("--utility", f"{size}={one:g}")]
    return Matrix(
        bundles=(bundle,),
        serve=("--objective-ms", f"{load.objective_ms:g}", *worth, *load.serve),
        static_pixels=None,
        adaptive="deadline",
        requests=load.requests,
        seed=load.seed,
        prompts=prompts_from(shop.request.prompts),
        warmup=_WARMUP,
        max_lag_ms=_MAX_LAG_MS,
    )


def _worth(sizes: tuple[int, ...]) -> Mapping[int, float]:
    return dict(zip(sizes, _UTILITIES[-len(sizes) :], strict=True))


def matrix_rows(path: Path) -> list[ResultRow]:
    """The rows of a matrix's CSV file, named as the recipe names the earlier report's."""
    with path.open(newline="", encoding="utf-8") as file:
        return [_row(cell) for cell in csv.DictReader(file)]


def _row(cell: Mapping[str, str]) -> ResultRow:
    load = f"{cell['conc']}" if cell["conc"] else f"{float(cell['lam']):g}"
    name = f"{cell['wbits']} {cell['policy']} {cell['pattern']} {load}"
    figures = {key: Figure(float(cell[column])) for key, column in _COLUMNS.items() if cell[column]}
    return ResultRow(name, name, plan=cell["plan"], ours=figures)
