"""Whether the operators compute what they say: against FP64 on random operands, and INT32 sums bit for bit.

`python -m mixdq.compiler.cuda.kernels.check` runs every case on this machine's GPU, or those of small sizes
on its CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from mixdq.compiler.cuda.kernels.register import INTERPRETED
from mixdq.compiler.cuda.kernels.shapes import (
    RESOLUTIONS,
    Attention,
    Convolution,
    Form,
    GroupNorm,
    LayerNorm,
    Linear,
    TextAttention,
    Work,
    entries_of,
    unet_shapes,
)
from mixdq.compiler.cuda.kernels.tiles import TileTable, tiles_of
from mixdq.compiler.cuda.kernels.verdicts import (
    Check,
    Draw,
    Verdict,
    check_convolution,
    check_geglu,
    check_half_convolution,
    check_linear,
    check_text_linear,
    check_weight_only,
)
from mixdq.compiler.cuda.kernels.verdicts_attention import check_attention, check_text_attention
from mixdq.compiler.cuda.kernels.verdicts_norm import check_group_norm, check_layer_norm
from mixdq.configs.console import run_app

EXIT_WRONG = 1
"""Exit code if an operator is wrong."""

app = typer.Typer(add_completion=False)


@app.command()
def check(
    table: Annotated[
        Path | None, typer.Option("--table", help="Tiles to use. (default: those that ship for this GPU)")
    ] = None,
    part: Annotated[int, typer.Option("--part", min=0, help="Which part of the cases, from 0.")] = 0,
    parts: Annotated[int, typer.Option("--parts", min=1, help="Processes that share the cases.")] = 1,
) -> None:
    """Compare every kernel with FP64, its INT32 sums bit for bit.

    Without a GPU small sizes of the CPU versions are compared; with TRITON_INTERPRET=1 of the kernels
    themselves, which Triton's interpreter runs on the processor.
    """
    with tiles_of(TileTable.read(table)) if table else nullcontext():
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        wrong = _run_all(device, cases(large=device.type == "cuda")[part::parts])
    raise typer.Exit(EXIT_WRONG if wrong else 0)


def cases(*, large: bool) -> tuple[Check, ...]:
    """All of them, or those of small sizes."""
    if not large:
        return tuple(odd_checks())
    return (*odd_checks(), *unet_checks(), *unet_rest_checks(), *batch_checks())


def _run_all(device: torch.device, chosen: Sequence[Check]) -> int:
    """Prints a verdict a case; how many are wrong."""
    draw, wrong, count = Draw(device), 0, 0
    for case in chosen:
        verdict = case(draw)
        count += 1
        wrong += not verdict.right
        print(f"{'right' if verdict.right else 'WRONG'}  {verdict.error:.1e}  {verdict.case}", flush=True)
    how = ", interpreted" if INTERPRETED else ""
    print(f"{count} cases on {device.type}{how}, {wrong} wrong")
    return wrong


def odd_checks() -> Iterator[Check]:
    """Sizes that no tile divides, several images, a zero point of 0."""
    for m, n, k in ((1, 48, 64), (77, 320, 192), (130, 200, 144), (257, 1290, 320)):
        work = Linear(m, n, k)
        yield partial(check_linear, work=work)
        yield partial(check_linear, work=work, zero=0)
        yield partial(check_geglu, work=work)
        yield partial(check_weight_only, work=work)
    for queries, keys, heads in ((40, 40, 2), (130, 77, 3), (65, 200, 1)):
        yield partial(check_attention, work=Linear(queries, 32 * heads, 32), heads=heads, keys=keys)
    for queries, keys, heads, inputs in ((40, 77, 2, 80), (130, 20, 3, 80), (70, 77, 1, 128)):
        yield partial(check_text_attention, work=Linear(queries, 32 * heads, inputs), heads=heads, keys=keys)
    yield partial(check_weight_only, work=Linear(65, 100, 256))
    for rows, channels in ((1, 64), (77, 320), (5, 640), (3, 1280)):
        yield partial(check_layer_norm, work=LayerNorm(rows, channels), batch=2)
    for image, batch in (
        (GroupNorm(5, 64, 0, silu=True), 2),
        (GroupNorm(12, 320, 0, silu=False), 1),
        (GroupNorm(13, 96, 64, silu=True), 3),
        (GroupNorm(45, 320, 96, silu=True), 2),
    ):
        yield partial(check_group_norm, work=image, batch=batch)
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


def unet_checks() -> Iterator[Check]:
    """Every shape of SDXL-Turbo's UNet, at all resolutions."""
    seen: set[object] = set()
    for resolution in RESOLUTIONS:
        for entry in unet_shapes(resolution):
            if (entry.operator, entry.work) in seen:
                continue
            seen.add((entry.operator, entry.work))
            yield partial(_check_of_unet, operator=entry.operator, work=entry.work, batch=1)


def unet_rest_checks() -> Iterator[Check]:
    """Every attention and normalization of SDXL-Turbo's UNet, and its linear layers with packed weights."""
    for resolution in RESOLUTIONS:
        for entry in entries_of(Form.UNWEIGHTED, resolution):
            yield partial(_check_of_rest, work=entry.work)
    for entry in entries_of(Form.W4A16, RESOLUTIONS[0]):
        assert isinstance(entry.work, Linear)
        narrow = Linear(entry.work.m, min(entry.work.n, 10240), entry.work.k)
        yield partial(check_weight_only, work=narrow)


def batch_checks() -> Iterator[Check]:
    """The UNet's own shapes with two to four images, at the lowest resolution."""
    for index, entry in enumerate(unet_shapes(RESOLUTIONS[0])):
        yield partial(_check_of_unet, operator=entry.operator, work=entry.work, batch=2 + index % 3)
    for index, entry in enumerate(entries_of(Form.UNWEIGHTED, RESOLUTIONS[0])):
        yield partial(_check_of_rest, work=entry.work, batch=2 + index % 3)


def _check_of_rest(draw: Draw, work: Work, batch: int = 1) -> Verdict:
    if isinstance(work, Attention):
        wide = Linear(work.queries, work.width * work.heads, work.width)
        return check_attention(draw, wide, heads=work.heads, keys=work.keys, batch=batch)
    if isinstance(work, TextAttention):
        channels = work.heads * work.width
        wide = Linear(work.queries, channels, channels)
        return check_text_attention(draw, wide, heads=work.heads, keys=77, batch=batch)
    if isinstance(work, LayerNorm):
        return check_layer_norm(draw, work, batch=batch)
    assert isinstance(work, GroupNorm)
    return check_group_norm(draw, work, batch=batch)


def _check_of_unet(draw: Draw, operator: str, work: Work, batch: int) -> Verdict:
    if isinstance(work, Convolution):
        return check_convolution(draw, work, batch=batch)
    assert isinstance(work, Linear)
    larger = Linear(work.m * batch, work.n, work.k)
    if operator == "int8_text_linear":
        return check_text_linear(draw, Linear(larger.m, min(larger.n, 4096), larger.k))
    if operator == "int8_geglu":
        return check_geglu(draw, larger)
    return check_linear(draw, larger)


if __name__ == "__main__":
    run_app(app)
