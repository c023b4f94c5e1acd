"""Times every shape of SDXL-Turbo's UNet on this GPU: INT8 kernels against FP16 of cuBLAS and cuDNN.

`python -m mixdq.compiler.cuda.kernels.benchmark --json OUT.json` uses the shipped table of tiles, or the one
that `--table` names. Both sides are timed in one run, alternating; see `timing` for how.
"""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from mixdq.compiler.cuda.kernels.compile_ahead import compile_ahead
from mixdq.compiler.cuda.kernels.shapes import RESOLUTIONS, Entry, Form, entries_of
from mixdq.compiler.cuda.kernels.tiles import Tile, TileTable, shipped_table
from mixdq.compiler.cuda.kernels.timing import (
    Time,
    operands,
    require_gpu,
    shape_of,
    time_half,
    time_launches,
)
from mixdq.configs.console import run_app
from mixdq.configs.files import write_text

app = typer.Typer(add_completion=False)


@app.command()
def benchmark(
    table: Annotated[
        Path | None, typer.Option("--table", help="Tiles to use. (default: those that ship for this GPU)")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where the figures go.")] = None,
    form: Annotated[Form, typer.Option("--form", help="What the layers compute with.")] = Form.INT8,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images a call.")] = 1,
    resolution: Annotated[
        list[int] | None, typer.Option("--resolution", help="Pixels; repeat it. (default: 512, 768, 1024)")
    ] = None,
) -> None:
    """Time every shape of SDXL-Turbo's UNet, our kernels against FP16 of cuBLAS and cuDNN."""
    gpu = require_gpu()
    tiles = TileTable.read(table) if table else shipped_table(gpu)
    work = [(pixels, entry) for pixels in resolution or RESOLUTIONS for entry in entries_of(form, pixels)]
    compile_ahead(((entry, tiles.find(shape_of(entry, batch))) for _, entry in work), batch)
    rows = [measure(entry, pixels, batch, tiles) for pixels, entry in work]
    print(report(rows))
    if json_file:
        write_text(json_file, _document({**_machine(gpu), "batch": batch}, rows))


@dataclass(frozen=True, slots=True)
class Row:
    """One shape's times.

    Attributes:
        resolution: in pixels.
        operator: whose kernel.
        work: its shape, in words.
        count: how often the UNet does it.
        tile: how the kernel divides it.
        kernel: microseconds of our kernel: dequantization, bias, residual and gate are inside.
        half: microseconds of FP16: product and bias.
        tera: 10^12 operations of one launch.
    """

    resolution: int
    operator: str
    work: str
    count: int
    tile: Tile
    kernel: Time
    half: Time
    tera: float


def measure(entry: Entry, resolution: int, batch: int, table: TileTable) -> Row:
    """Times one shape both ways."""
    tile, work = table.find(shape_of(entry, batch)), operands(entry, batch)
    integer = time_launches(work.launch(tile), work.weight_bytes)
    half = time_half(entry, batch)
    tera = 2 * batch * entry.work.macs / 1e12
    return Row(resolution, entry.operator, str(entry.work), entry.count, tile, integer, half, tera)


def report(rows: Sequence[Row]) -> str:
    """A table in Markdown, by resolution, with sums over the UNet."""
    lines = []
    for resolution in sorted({row.resolution for row in rows}):
        mine = [row for row in rows if row.resolution == resolution]
        lines += [
            f"\n{resolution} pixels\n",
            "| operator | shape | count | kernel us | FP16 us | ratio | TOPS | tile |",
        ]
        lines.append("|---|---|---:|---:|---:|---:|---:|---|")
        lines += [_line(row) for row in mine]
        integer = sum(row.count * row.kernel.median for row in mine) / 1000
        half = sum(row.count * row.half.median for row in mine) / 1000
        lines.append(f"| all | | | {integer:.2f} ms | {half:.2f} ms | {half / integer:.2f} | | |")
    return "\n".join(lines)


def _line(row: Row) -> str:
    tile = row.tile
    split = f" /{tile.splits}" if tile.splits > 1 else ""
    form = f"{tile.block_m}x{tile.block_n}x{tile.block_k} w{tile.warps} s{tile.stages}{split}"
    integer, half = row.kernel.median, row.half.median
    return (
        f"| {row.operator} | {row.work} | {row.count} | {integer:.1f} | {half:.1f} | {half / integer:.2f} "
        f"| {row.tera / integer * 1e6:.0f} | {form} |"
    )


def _document(facts: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """JSON, a line a shape."""
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows)
    return f'{json.dumps(facts)[:-1]}, "rows": [\n{lines}\n]}}\n'


def _machine(gpu: str) -> dict[str, Any]:
    import triton  # type: ignore[import-not-found, import-untyped, unused-ignore]

    return {
        "command": shlex.join(["python", "-m", "mixdq.compiler.cuda.kernels.benchmark", *sys.argv[1:]]),
        "gpu": gpu,
        "torch": torch.__version__,
        "triton": triton.__version__,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    run_app(app)
