"""Finds the fastest tile of every shape of SDXL-Turbo's UNet on this machine's GPU, and writes the table.

`python -m mixdq.compiler.cuda.kernels.tune OUT.json --timings TIMINGS.json --batch 1`; with `--form w4a16`
the weight-only layers instead, and with `--base TABLE.json` beside the tiles of a table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from mixdq.compiler.cuda.kernels.candidates import candidates
from mixdq.compiler.cuda.kernels.compile_ahead import compile_ahead, in_short, kernel_errors
from mixdq.compiler.cuda.kernels.shapes import RESOLUTIONS, Convolution, Entry, Form, Linear, entries_of
from mixdq.compiler.cuda.kernels.tiles import Shape, Tile, TileTable
from mixdq.compiler.cuda.kernels.timing import Launch, operands, require_gpu, shape_of, time_launches
from mixdq.configs.console import run_app
from mixdq.configs.files import write_text

# Tried for the best tile alone: they change little.
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
    best = dict(TileTable.read(base).tiles) if base else {}
    found: dict[Shape, list[Trial]] = {shape: [] for shape in entries}

    def extend(tiles_of_shape: Callable[[Shape], Sequence[Tile]]) -> None:
        tiles = {shape: more for shape in entries if (more := tiles_of_shape(shape))}
        compile_ahead(((entries[shape], tile) for shape in tiles for tile in tiles[shape]), batch)
        for shape, more in tiles.items():
            found[shape] += trials(entries[shape], more, batch)
            best[shape] = fastest(found[shape]).tile
            print(shape, best[shape], f"{fastest(found[shape]).microseconds:.2f} us", flush=True)
            write_text(out, TileTable(gpu, best).to_json())
            if timings:
                write_text(timings, json.dumps([asdict(trial) for each in found.values() for trial in each]))

    extend(candidates)
    extend(lambda shape: regrouped(entries[shape], best[shape]))


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


def trials(entry: Entry, tiles: Sequence[Tile], batch: int) -> list[Trial]:
    """Times a shape with each of the tiles."""
    shape, work = shape_of(entry, batch), operands(entry, batch)
    return [Trial(shape, tile, _time(work.launch(tile), work.weight_bytes)) for tile in tiles]


def regrouped(entry: Entry, best: Tile) -> list[Tile]:
    """A product's best tile with other groups."""
    if not isinstance(entry.work, Linear | Convolution):
        return []
    return [replace(best, group=group) for group in _GROUPS]


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
    except kernel_errors() as error:
        print(f"  not run: {in_short(error)}")
        return float("inf")


if __name__ == "__main__":
    run_app(app)
