"""Finds the fastest tile of every shape of SDXL-Turbo's UNet on this machine's GPU, and writes the table.

`python -m mixdq.compiler.cuda.kernels.tune OUT.json --timings TIMINGS.json --batch 1`; with `--form w4a16`
the weight-only layers instead, and with `--base TABLE.json` beside the tiles of a table.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch

from mixdq.compiler.cuda.kernels.candidates import candidates
from mixdq.compiler.cuda.kernels.shapes import FORMS, RESOLUTIONS, Convolution, Entry, entries_of
from mixdq.compiler.cuda.kernels.tiles import Shape, Tile, TileTable
from mixdq.compiler.cuda.kernels.timing import Launch, operands, shape_of, time_launches
from mixdq.configs.files import write_text

# None of them 1 or a multiple of 16, for which Triton would compile again.
_GROUPS = (2, 24)
_REPLAYS = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """One timed tile.

    Attributes:
        shape: what it computed.
        tile: how.
        microseconds: the median; infinite if it could not run.
    """

    shape: Shape
    tile: Tile
    microseconds: float


def distinct_entries(form: str, resolutions: Iterable[int], batch: int) -> dict[Shape, Entry]:
    """The UNet's shapes at all resolutions, each once; of two alike the one with a residual."""
    found: dict[Shape, Entry] = {}
    for resolution in resolutions:
        for entry in entries_of(form, resolution):
            shape = shape_of(entry, batch)
            if shape not in found or entry.residual:
                found[shape] = entry
    return found


def compile_all(entries: Sequence[Entry], batch: int, workers: int) -> None:
    """Compiles every candidate into Triton's cache, side by side."""
    one_each: dict[tuple[object, ...], tuple[Entry, Tile]] = {}
    for entry in entries:
        for tile in candidates(shape_of(entry, batch)):
            one_each.setdefault(_kernel(entry, tile), (entry, tile))
    jobs = sorted(one_each.values(), key=lambda job: job[0].operator)
    print(f"{len(jobs)} kernels for {len(entries)} shapes", flush=True)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for message in pool.imap_unordered(partial(_compile, batch=batch), jobs):
            if message:
                print(message, flush=True)


def trials(entry: Entry, batch: int) -> list[Trial]:
    """Times all candidates, then the fastest unsplit one with other groups."""
    shape, work = shape_of(entry, batch), operands(entry, batch)
    found = [Trial(shape, tile, _time(work.launch(tile), work.weight_bytes)) for tile in candidates(shape)]
    best = fastest(found)
    regrouped = [replace(best.tile, group=group) for group in _GROUPS]
    found += [Trial(shape, tile, _time(work.launch(tile), work.weight_bytes)) for tile in regrouped]
    return found


def fastest(found: Sequence[Trial], split_surcharge: float = 0.15) -> Trial:
    """The least time, where splitting sums costs its reader the surcharge, in microseconds a MB of sums."""

    def cost(trial: Trial) -> float:
        if trial.tile.splits == 1:
            return trial.microseconds
        megabytes = trial.shape.m * trial.shape.n * 4e-6 * trial.tile.splits
        return trial.microseconds + 1.0 + split_surcharge * megabytes

    return min(found, key=cost)


def main(arguments: Sequence[str] | None = None) -> int:
    """Tunes, and writes the table and all timings."""
    parser = argparse.ArgumentParser(prog="mixdq.compiler.cuda.kernels.tune", description=__doc__)
    parser.add_argument("out", type=Path, help="the table that is written")
    parser.add_argument("--base", type=Path, help="a table whose other tiles are kept")
    parser.add_argument("--form", choices=FORMS, default=FORMS[0], help="what the layers compute with")
    parser.add_argument("--timings", type=Path, help="where all trials go")
    parser.add_argument("--batch", type=int, default=1, help="images a call")
    parser.add_argument("--resolution", type=int, action="append", help="pixels; repeat it")
    asked = parser.parse_args(arguments)
    entries = distinct_entries(asked.form, asked.resolution or RESOLUTIONS, asked.batch)
    compile_all(list(entries.values()), asked.batch, max(1, (os.cpu_count() or 1) - 1))
    everything: list[Trial] = []
    best = dict(TileTable.read(asked.base).tiles) if asked.base else {}
    for shape, entry in entries.items():
        found = trials(entry, asked.batch)
        everything += found
        best[shape] = fastest(found).tile
        print(shape, best[shape], f"{fastest(found).microseconds:.2f} us", flush=True)
        write_text(asked.out, TileTable(torch.cuda.get_device_name(), best).to_json())
        if asked.timings:
            write_text(asked.timings, json.dumps([asdict(trial) for trial in everything]))
    return 0


def _time(launch: Launch, weight_bytes: int) -> float:
    try:
        return time_launches(launch, weight_bytes, _REPLAYS).median
    except (RuntimeError, ValueError) as error:
        print(f"  not run: {type(error).__name__}: {str(error)[:100]}")
        return float("inf")


def _kernel(entry: Entry, tile: Tile) -> tuple[object, ...]:
    """What a compiled kernel depends on: of a linear layer not its sizes."""
    work = entry.work
    geometry = (work.k, work.taps, work.stride) if isinstance(work, Convolution) else (work.m % 16,)
    return (entry.operator, tile, entry.residual, work.k % tile.block_k == 0, *geometry)


def _compile(job: tuple[Entry, Tile], batch: int) -> str | None:
    """Runs a kernel once, which compiles it into the cache on disk; what went wrong, if anything did."""
    entry, tile = job
    try:
        operands(entry, batch, copies=1).launch(tile)(0)
    except (RuntimeError, ValueError) as error:
        return f"  not compiled: {tile}: {type(error).__name__}: {str(error)[:100]}"
    return None


if __name__ == "__main__":
    sys.exit(main())
