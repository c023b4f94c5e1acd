"""Times every shape of SDXL-Turbo's UNet on this GPU: INT8 kernels against FP16 of cuBLAS and cuDNN.

`python -m mixdq.compiler.cuda.kernels.benchmark --json OUT.json` uses the shipped table of tiles, or the one
that `--table` names. Both sides are timed in one run, alternating; see `timing` for how.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mixdq.compiler.cuda.kernels.shapes import FORMS, RESOLUTIONS, Entry, entries_of
from mixdq.compiler.cuda.kernels.tiles import Tile, TileTable, shipped_table
from mixdq.compiler.cuda.kernels.timing import Time, operands, shape_of, time_half, time_launches
from mixdq.configs.files import write_text


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints the table, writes the figures."""
    parser = argparse.ArgumentParser(prog="mixdq.compiler.cuda.kernels.benchmark", description=__doc__)
    parser.add_argument("--table", type=Path, help="tiles to use (default: those that ship for this GPU)")
    parser.add_argument("--form", choices=FORMS, default=FORMS[0], help="what the layers compute with")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--batch", type=int, default=1, help="images a call")
    parser.add_argument("--resolution", type=int, action="append", help="pixels; repeat it")
    asked = parser.parse_args(arguments)
    gpu = torch.cuda.get_device_name()
    table = TileTable.read(asked.table) if asked.table else shipped_table(gpu)
    rows = [
        measure(entry, resolution, asked.batch, table)
        for resolution in asked.resolution or RESOLUTIONS
        for entry in entries_of(asked.form, resolution)
    ]
    print(report(rows))
    if asked.json:
        write_text(asked.json, _document({**_machine(gpu), "batch": asked.batch}, rows))
    return 0


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
    import triton  # type: ignore[import-not-found, unused-ignore]

    return {
        "command": "python -m mixdq.compiler.cuda.kernels.benchmark",
        "gpu": gpu,
        "torch": torch.__version__,
        "triton": triton.__version__,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
