"""Whether the operators compute what they say: against FP64 on random operands, and INT32 sums bit for bit.

`python -m mixdq.compiler.cuda.kernels.check` runs every case on this machine's GPU, or those of small sizes
on its CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from mixdq.compiler.cuda.kernels.shapes import RESOLUTIONS, Convolution, Linear, unet_shapes
from mixdq.compiler.cuda.kernels.tiles import TileTable, tiles_of
from mixdq.compiler.cuda.kernels.verdicts import (
    Check,
    Draw,
    Verdict,
    check_attention,
    check_convolution,
    check_geglu,
    check_half_convolution,
    check_linear,
    check_linear_from_half,
    check_text_linear,
    check_weight_only,
)
from mixdq.configs.console import run_app

EXIT_WRONG = 1
"""Exit code if an operator is wrong."""

app = typer.Typer(add_completion=False)


@app.command()
def check(
    table: Annotated[
        Path | None, typer.Option("--table", help="Tiles to use. (default: those that ship for this GPU)")
    ] = None,
) -> None:
    """Compare every kernel with FP64, its INT32 sums bit for bit; without a GPU, the CPU versions."""
    with tiles_of(TileTable.read(table)) if table else nullcontext():
        wrong = _run_all(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    raise typer.Exit(EXIT_WRONG if wrong else 0)


def _run_all(device: torch.device) -> int:
    """Prints a verdict a case; how many are wrong."""
    draw, wrong, count = Draw(device), 0, 0
    large = (*unet_checks(), *unet_attention_checks()) if device.type == "cuda" else ()
    for case in (*odd_checks(), *large):
        verdict = case(draw)
        count += 1
        wrong += not verdict.right
        print(f"{'right' if verdict.right else 'WRONG'}  {verdict.error:.1e}  {verdict.case}", flush=True)
    print(f"{count} cases on {device.type}, {wrong} wrong")
    return wrong


def odd_checks() -> Iterator[Check]:
    """Sizes that no tile divides, several images, a zero point of 0."""
    for m, n, k in ((1, 48, 64), (77, 320, 192), (130, 200, 144), (257, 1290, 320)):
        work = Linear(m, n, k)
        yield partial(check_linear, work=work)
        yield partial(check_linear, work=work, zero=0)
        yield partial(check_linear_from_half, work=work)
        yield partial(check_geglu, work=work)
        yield partial(check_weight_only, work=work)
    for queries, keys, heads in ((40, 40, 2), (130, 77, 3), (65, 200, 1)):
        yield partial(check_attention, work=Linear(queries, 32 * heads, 32), heads=heads, keys=keys)
    yield partial(check_weight_only, work=Linear(65, 100, 256))
    yield partial(check_text_linear, work=Linear(154, 96, 128))
    for window, batch in (
        (Convolution(9, 7, 32, 48, 3, 1, 1), 2),
        (Convolution(10, 12, 48, 20, 3, 2, 1), 3),
        (Convolution(8, 8, 4, 32, 3, 1, 1), 1),
        (Convolution(8, 6, 16, 4, 3, 1, 1), 4),
        (Convolution(5, 5, 64, 32, 1, 1, 0), 1),
    ):
        yield partial(check_convolution, work=window, batch=batch)
        yield partial(check_half_convolution, work=window, batch=batch)


def unet_checks(batch: int = 1) -> Iterator[Check]:
    """Every shape of SDXL-Turbo's UNet, at all resolutions."""
    seen: set[object] = set()
    for resolution in RESOLUTIONS:
        for entry in unet_shapes(resolution):
            if (entry.operator, entry.work) in seen:
                continue
            seen.add((entry.operator, entry.work))
            yield partial(_check_of_unet, operator=entry.operator, work=entry.work, batch=batch)


def unet_attention_checks() -> Iterator[Check]:
    """Every attention of SDXL-Turbo's UNet, heads of 64 channels."""
    for resolution in RESOLUTIONS:
        for shrink, heads in ((16, 10), (32, 20)):
            tokens = (resolution // shrink) ** 2
            for keys in (tokens, 77):
                yield partial(check_attention, work=Linear(tokens, 64 * heads, 64), heads=heads, keys=keys)


def _check_of_unet(draw: Draw, operator: str, work: Linear | Convolution, batch: int) -> Verdict:
    if isinstance(work, Convolution):
        return check_convolution(draw, work, batch=batch)
    larger = Linear(work.m * batch, work.n, work.k)
    if operator == "int8_text_linear":
        return check_text_linear(draw, Linear(larger.m, min(larger.n, 4096), larger.k))
    if operator == "int8_geglu":
        return check_geglu(draw, larger)
    return check_linear(draw, larger)


if __name__ == "__main__":
    run_app(app)
