"""Finds the fastest tile of every shape of SDXL-Turbo's UNet on this machine's GPU, and writes the table.

`python -m mixdq.compiler.cuda.kernels.tune OUT.json --timings TIMINGS.json --batch 1`; with `--form w4a16`
the weight-only layers instead, and with `--base TABLE.json` beside the tiles of a table.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mixdq.compiler.cuda.kernels.candidates import candidates
from mixdq.compiler.cuda.kernels.shapes import RESOLUTIONS, Convolution, Entry, Form, Linear, entries_of
from mixdq.compiler.cuda.kernels.tiles import Shape, Tile, TileTable
from mixdq.compiler.cuda.kernels.timing import Launch, operands, require_gpu, shape_of, time_launches
from mixdq.configs.console import run_app
from mixdq.configs.files import write_text

# None of them 1 or a multiple of 16, for which Triton would compile again.
_GROUPS = (2, 24)
_REPLAYS = 5
# What a kernel takes that ends a few sums, the gap before it included.
_END_US = 2.0


app = typer.Typer(add_completion=False)


@app.command()
def tune(
    out: Annotated[Path, typer.Argument(help="The table that is written.")],
    base: Annotated[Path | None, typer.Option("--base", help="A table whose other tiles are kept.")] = None,
    timings: Annotated[Path | None, typer.Option("--timings", help="Where all trials go, as JSON.")] = None,
    form: Annotated[Form, typer.Option("--form", help="What the layers compute with.")] = Form.INT8,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images a call.")] = 1,
    resolution: Annotated[
        list[int] | None, typer.Option("--resolution", help="Pixels; repeat it. (default: 512, 768, 1024)")
    ] = None,
    operator: Annotated[
        list[str] | None, typer.Option("--operator", help="Only this one; repeat it. (default: all)")
    ] = None,
) -> None:
    """Find the fastest tile of every shape of SDXL-Turbo's UNet; the table grows with each."""
    gpu = require_gpu()
    entries = {
        shape: entry
        for shape, entry in distinct_entries(form, resolution or RESOLUTIONS, batch).items()
        if shape.operator in (operator or [shape.operator]) and len(candidates(shape)) > 1
    }
    compile_all(list(entries.values()), batch, max(1, (os.cpu_count() or 1) - 1))
    everything: list[Trial] = []
    best = dict(TileTable.read(base).tiles) if base else {}
    for shape, entry in entries.items():
        found = trials(entry, batch)
        everything += found
        best[shape] = fastest(found).tile
        print(shape, best[shape], f"{fastest(found).microseconds:.2f} us", flush=True)
        write_text(out, TileTable(gpu, best).to_json())
        if timings:
            write_text(timings, json.dumps([asdict(trial) for trial in everything]))


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


def distinct_entries(form: Form, resolutions: Iterable[int], batch: int) -> dict[Shape, Entry]:
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
    """Times all candidates, then a product's fastest one with other groups."""
    shape, work = shape_of(entry, batch), operands(entry, batch)
    found = [Trial(shape, tile, _time(work.launch(tile), work.weight_bytes)) for tile in candidates(shape)]
    if not isinstance(entry.work, Linear | Convolution):
        return found
    best = fastest(found)
    regrouped = [replace(best.tile, group=group) for group in _GROUPS]
    found += [Trial(shape, tile, _time(work.launch(tile), work.weight_bytes)) for tile in regrouped]
    return found


def fastest(found: Sequence[Trial], split_surcharge: float = 0.2) -> Trial:
    """The least time, where split sums cost a kernel that ends them: so many microseconds a MB of them."""

    def cost(trial: Trial) -> float:
        if trial.tile.splits == 1:
            return trial.microseconds
        megabytes = trial.shape.m * trial.shape.n * 4e-6 * trial.tile.splits
        return trial.microseconds + _END_US + split_surcharge * megabytes

    return min(found, key=cost)


def _time(launch: Launch, weight_bytes: int) -> float:
    try:
        return time_launches(launch, weight_bytes, _REPLAYS).median
    except (RuntimeError, ValueError) as error:
        print(f"  not run: {type(error).__name__}: {str(error)[:100]}")
        return float("inf")


def _kernel(entry: Entry, tile: Tile) -> tuple[object, ...]:
    """What a compiled kernel depends on: of a linear layer not its sizes."""
    work = entry.work
    if not isinstance(work, Linear | Convolution):
        return (entry.operator, tile, work)
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
    run_app(app)
