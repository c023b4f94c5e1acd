"""Figure 7 on a GPU: the UNet alone with made-up weights, by `mixdq-eval unet-speed`."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from mixdq.configs.errors import EvaluationError
from mixdq.eval.reproduce.columns import COLUMNS
from mixdq.eval.reproduce.made import Made
from mixdq.eval.reproduce.result import Figure, ResultRow
from mixdq.eval.reproduce.workshop import Workshop

_BASELINE, _QUANTIZED, _UNQUANTIZING = "compiled", "w8a8", "w8a8-half"
_WAYS = {_BASELINE: "full", "fp16": "", _QUANTIZED: "w8a8-mixdq", "w4a16": "w4a16-mixdq", _UNQUANTIZING: ""}
"""What is timed, and the recipe's row that it stands beside."""

_COLUMNS = (
    "unet_ms",
    "unet_speedup",
    "quantizable_ms",
    "quantize_ms",
    "rest_ms",
    "peak_mib",
    "memory_reduction",
)


def make_trial(shop: Workshop) -> Made:
    """Times every way that has not been timed, and puts the source's figures beside.

    Raises:
        EvaluationError: the command failed, or the baseline could not be timed.
    """
    folder, resolution = shop.request.out / "unet", shop.bench.resolution
    if not (folder / "unet.csv").is_file():
        _run(folder, shop.request.model, resolution)
    rows = {row["way"]: row for row in _read(folder / "unet.csv") if row["resolution"] == str(resolution)}
    base = rows.get(_BASELINE)
    if base is None or not base["ms"]:
        raise EvaluationError(
            f"{folder / 'unet.csv'} has no time of the baseline, torch.compile; {folder / 'log.txt'} says "
            "why: remove the folder and run the same command again"
        )
    kinds = _kinds(folder / "kinds.csv", resolution)
    both = [rows.get(way, {}).get("ms") for way in (_QUANTIZED, _UNQUANTIZING)]
    if both[0] and both[1]:
        kinds[_QUANTIZED]["quantize_ms"] = Figure(float(both[0]) - float(both[1]))
    paper = {row.name: row.paper for row in shop.recipe.made}
    return Made(
        columns=[COLUMNS[key] for key in _COLUMNS],
        rows=[
            ResultRow(
                way,
                way,
                ours=_figures(rows[way], base) | kinds.get(way, {}),
                paper=paper.get(stands_for, {}),
                note=rows[way].get("missing", ""),
            )
            for way, stands_for in _WAYS.items()
            if way in rows
        ],
        settings={"baseline": "torch.compile in FP16, in a CUDA graph", "weights": "made up"},
    )


def _run(folder: Path, model: str, resolution: int) -> None:
    words = ["unet-speed", "--out", str(folder), "--model", model, *(f"{way}:{resolution}" for way in _WAYS)]
    program = [sys.executable, "-c", "from mixdq.eval.cli import main; main()"]
    if subprocess.run([*program, *words], check=False).returncode != 0:
        raise EvaluationError(
            f"`mixdq-eval {' '.join(words)}` failed; {folder / 'log.txt'} says why. Then run the same "
            "command again"
        )


def _figures(row: Mapping[str, str], base: Mapping[str, str]) -> dict[str, Figure]:
    figures = {}
    if row["ms"]:
        figures["unet_ms"] = Figure(float(row["ms"]), float(row["ms_q1"]), float(row["ms_q3"]))
        figures["unet_speedup"] = Figure(float(base["ms"]) / float(row["ms"]))
    if row["allocated_mib"]:
        figures["peak_mib"] = Figure(float(row["allocated_mib"]))
        if base["allocated_mib"]:
            figures["memory_reduction"] = Figure(float(base["allocated_mib"]) / float(row["allocated_mib"]))
    return figures


def _kinds(path: Path, resolution: int) -> dict[str, dict[str, Figure]]:
    """Milliseconds of each way: linear layers and convolutions, and the rest, quantization fused into it."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in _read(path) if path.is_file() else ():
        if row["resolution"] == str(resolution):
            key = "quantizable_ms" if row["kind"].endswith("layers") else "rest_ms"
            sums[row["way"]][key] += float(row["us"]) / 1e3
    found = {way: {key: Figure(ms) for key, ms in parts.items()} for way, parts in sums.items()}
    return defaultdict(dict, found)


def _read(path: Path) -> Iterator[Mapping[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
