"""Figure 7 on a GPU: the UNet with made-up weights, by the program of docs/performance."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Mapping

from mixdq.configs.errors import EvaluationError
from mixdq.eval.reproduce.columns import COLUMNS
from mixdq.eval.reproduce.made import Made
from mixdq.eval.reproduce.result import Figure, ResultRow
from mixdq.eval.reproduce.workshop import Workshop

_PROGRAM = "mixdq.eval.speed.unet_trial"
_BASELINE = "compiled"
_ROWS = {"fp16": "full", "w8a8": "w8a8-mixdq", "w4a16": "w4a16-mixdq"}
"""The recipe's row that a way stands for."""


def make_trial(shop: Workshop) -> Made:
    """Times every way once, and puts the source's figures beside.

    Raises:
        EvaluationError: the program failed, or measured nothing.
    """
    folder = shop.request.out / "unet"
    table = folder / "unet.csv"
    words = ["--out", str(folder), "--resolution", str(shop.bench.resolution), "--profile"]
    command = [sys.executable, "-m", _PROGRAM, *words, "--model", shop.request.model]
    if not table.is_file() and subprocess.run(command, check=False).returncode != 0:
        raise EvaluationError(
            f"`python -m {_PROGRAM}` failed; {folder / 'log.txt'} says why. Run the same command again"
        )
    with table.open(newline="", encoding="utf-8") as file:
        found = {line["way"]: line for line in csv.DictReader(file)}
    if not found:
        raise EvaluationError(f"{table} has no row: no way was compiled; see {folder / 'log.txt'}")
    base = found.get(_BASELINE) or next(iter(found.values()))
    paper = {row.name: row.paper for row in shop.recipe.made}
    return Made(
        columns=[COLUMNS[key] for key in ("unet_ms", "unet_speedup", "peak_mib", "memory_reduction")],
        rows=[
            ResultRow(way, way, ours=_figures(line, base), paper=paper.get(_ROWS.get(way, ""), {}))
            for way, line in found.items()
        ],
        settings={"compared with": base["way"], "weights": "made up"},
    )


def _figures(line: Mapping[str, str], base: Mapping[str, str]) -> Mapping[str, Figure]:
    figures = {
        "unet_ms": Figure(float(line["ms"]), float(line["ms_q1"]), float(line["ms_q3"])),
        "unet_speedup": Figure(float(base["ms"]) / float(line["ms"])),
    }
    if line.get("allocated_mib"):
        figures["peak_mib"] = Figure(float(line["allocated_mib"]))
        if base.get("allocated_mib"):
            figures["memory_reduction"] = Figure(float(base["allocated_mib"]) / float(line["allocated_mib"]))
    return figures
