"""`mixdq-eval`: the grid of plans, resolutions and back ends, and the choice from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixdq.compiler import options as o
from mixdq.configs.console import stdout_console
from mixdq.configs.errors import RequestError, TargetError
from mixdq.configs.presets import model_name, preset_for
from mixdq.eval.select.prefer import Prefer
from mixdq.eval.speed.choices import Device

if TYPE_CHECKING:  # what compiles and draws takes seconds to import: not for --help
    from mixdq.configs.target import Target
    from mixdq.eval.grid.built import Compiling
    from mixdq.eval.grid.candidates import Candidate
    from mixdq.eval.grid.cells import BackEnd
    from mixdq.eval.grid.quality import Judging
    from mixdq.export.source import SourceModel

app = typer.Typer()

_BITS = (16.0, 8.0, 6.0, 5.0, 4.0)
_PROMPTS_OF_EMOJI = "emoji-512.txt"
_ROWS, _MEASURING, _QUALITY = "Rows", "Measuring", "Quality"


@app.command()
def grid(
    out: Annotated[Path, typer.Option(help="The folder of bundles, cells, pictures and tables.")],
    model: Annotated[
        str | None,
        typer.Argument(
            help="emoji-turbo, sdxl-turbo, a diffusers folder, a hub id; none with --bundle alone.",
            show_default=False,
        ),
    ] = None,
    bits: Annotated[
        list[float] | None,
        typer.Option(
            help="Mean weight bits of a row, as `mixdq-compile run --weight-bits` takes them; 16 for full "
            "precision; repeat it. (default: 16, 8, 6, 5, 4, unless --plan or --bundle is given)",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    activation_bits: Annotated[
        float,
        typer.Option(help="Of all rows of --bits but 16; 16 for weights alone.", rich_help_panel=_ROWS),
    ] = 8,
    plan: Annotated[
        list[Path] | None, typer.Option(help="A plan.yaml, a row; repeat it.", rich_help_panel=_ROWS)
    ] = None,
    bundle: Annotated[
        list[Path] | None,
        typer.Option(help="A bundle that is there, a row; repeat it.", rich_help_panel=_ROWS),
    ] = None,
    resolution: o.Resolutions = None,
    target: o.Targets = None,
    device: Annotated[
        Device, typer.Option(help="Where ONNX Runtime computes.", rich_help_panel=_MEASURING)
    ] = Device.CPU,
    batch: o.Batch = 1,
    weights: o.Weights = None,
    variant: o.Variant = None,
    lora: o.Loras = None,
    vae: o.Vae = None,
    vae_precision: o.Precisions = "float32",
    scheduler: o.Sampler = None,
    ranges: o.Ranges = None,
    work: o.Work = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Fresh processes of a cell, in turns.", rich_help_panel=_MEASURING)
    ] = 3,
    warmup: Annotated[
        int, typer.Option(min=1, help="Pictures before those measured.", rich_help_panel=_MEASURING)
    ] = 3,
    repeats: Annotated[
        int, typer.Option(min=2, help="Pictures measured by each process.", rich_help_panel=_MEASURING)
    ] = 20,
    prompt: Annotated[
        str, typer.Option(help="What is drawn while time is measured.", rich_help_panel=_MEASURING)
    ] = "red apple",
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.", rich_help_panel=_MEASURING)] = 1,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Of the pictures that are scored. (default: emoji-512.txt, or the preset's)",
            rich_help_panel=_QUALITY,
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(min=2, help="Pictures of a cell that are scored.", rich_help_panel=_QUALITY)
    ] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Prompt i has SEED + i.", rich_help_panel=_QUALITY)] = 0,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="As of `quality`: ssim,psnr,alignment, say. (default: all that can be)",
            rich_help_panel=_QUALITY,
        ),
    ] = None,
    no_quality: Annotated[
        bool, typer.Option("--no-quality", help="Draw and score no pictures.", rich_help_panel=_QUALITY)
    ] = False,
    clip: Annotated[
        Path | None, typer.Option(help="CLIP, for the column clipscore.", rich_help_panel=_QUALITY)
    ] = None,
    image_reward: Annotated[
        Path | None, typer.Option(help="ImageReward.pt.", rich_help_panel=_QUALITY)
    ] = None,
    inception: Annotated[
        Path | None, typer.Option(help="Inception's weights, for FID.", rich_help_panel=_QUALITY)
    ] = None,
    lpips: Annotated[Path | None, typer.Option(help="AlexNet's weights.", rich_help_panel=_QUALITY)] = None,
) -> None:
    """Measure time, memory and quality of plans at resolutions on back ends, each cell in its own processes.

    Bundles are compiled into OUT/bundles where they are not up to date. Quality is against full precision at
    the same resolution, and against the prompts. OUT gets grid.json, grid.csv, latency.json and memory.json.
    The same command goes on where it was stopped; cells that ran out of memory stay recorded as such.

    Quantized cells that are slower or bigger than full precision are named. Two rows that are one
    configuration are refused, as is a folder of another machine, of other versions or another number of
    pictures.
    """
    from rich.console import Console

    from mixdq.eval.grid.candidates import Rows, candidates_of
    from mixdq.eval.grid.grid import GridRequest, measure_grid
    from mixdq.eval.grid.view import grid_view, remarks
    from mixdq.eval.speed.latency_run import Rounds
    from mixdq.eval.speed.subject import Drawing
    from mixdq.export.source import open_source

    if model is None and (bits or plan or not bundle):
        raise RequestError("name the model that --bits and --plan are of, or give --bundle alone")
    targets = o.targets_of(target)
    wanted = tuple(bits or (() if plan or bundle else _BITS))
    choice = (
        None if model is None else o.choice_of(model, weights, variant, vae, vae_precision, lora, scheduler)
    )
    source = None if choice is None or not (wanted or plan) else open_source(choice)
    rows = Rows(wanted, activation_bits, tuple(plan or ()), tuple(bundle or ()))
    candidates = candidates_of(rows, source.identity if source else None, targets)
    sizes = _sizes(source, candidates, resolution)
    judging = None
    if not no_quality:
        name = model or _model_of(candidates)
        judging = _judging(
            prompts or _prompts_of(name), count, seed, metrics, (inception, clip, image_reward, lpips), out
        )
    console = stdout_console()
    compiling = None if source is None else _compiling(source, targets, sizes, batch, ranges, out, work)
    with Console(stderr=True).status("") as status:
        request = GridRequest(
            candidates=candidates,
            compiling=compiling,
            back_ends=_back_ends(targets, device),
            resolutions=sizes,
            drawing=Drawing(prompt, seed, steps),
            rounds=Rounds(warmup, repeats, processes),
            judging=judging,
            out=out,
        )
        table = measure_grid(
            request,
            lambda phase, done, total: status.update(
                phase if total is None else f"{phase} {done} of {total}"
            ),
            lambda line: print(line, flush=True),
        )
    console.print(grid_view(table))
    for remark in remarks(table):
        console.print(remark, highlight=False, soft_wrap=True)
    console.print(f"figures: {out / 'grid.json'}, {out / 'grid.csv'}", highlight=False, soft_wrap=True)


@app.command()
def select(
    grids: Annotated[
        list[Path],
        typer.Argument(
            help="Files that `grid` wrote, or their folders; of one machine, model and prompts.",
            metavar="GRID...",
            show_default=False,
        ),
    ],
    slo_ms: Annotated[
        float | None, typer.Option(min=0.001, help="Most milliseconds for 95 of 100 pictures.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="Most peak memory, the GPU's where there is one: 150MiB, 1.5GiB.")
    ] = None,
    min_quality: Annotated[
        list[str] | None,
        typer.Option(
            help="PSNR=30, say: a metric's least mean (of distances such as FID the most); the beginning of "
            "the name is enough; repeat it. The first is the one that quality is read from."
        ),
    ] = None,
    target: Annotated[list[str] | None, typer.Option(help="Only this back end; repeat it.")] = None,
    resolution: Annotated[list[int] | None, typer.Option(help="Only these pixels; repeat it.")] = None,
    prefer: Annotated[
        Prefer,
        typer.Option(
            help="What counts first among those that meet all wishes; quality is the loss against full "
            "precision."
        ),
    ] = Prefer.QUALITY,
    out: Annotated[Path | None, typer.Option(help="Also write it as JSON.")] = None,
) -> None:
    """Choose plan, resolution and back end under limits of latency, memory and quality, with reasons.

    Shows every cell, which of them no other beats, what each limit excludes, and why this one. If nothing
    meets all limits, the nearest cell is named, and by how much it is off.

    Exit code 0 if a cell was chosen, 1 if none meets the limits, 2 on bad input.
    """
    from mixdq.compiler.allocate.words import parse_memory
    from mixdq.eval.select.points import points_of
    from mixdq.eval.select.select import read_grids
    from mixdq.eval.select.select import select as choose
    from mixdq.eval.select.view import selection_view
    from mixdq.eval.select.wishes import Wishes, check_resolutions, check_targets, parse_min_quality

    tables = read_grids(grids)
    points = points_of(tables)
    check_targets(target or (), points)
    check_resolutions(resolution or (), points)
    wishes = Wishes(
        slo_ms=slo_ms,
        memory_mib=None if memory is None else parse_memory(memory) * 1024,
        min_quality=parse_min_quality(min_quality or (), points),
        targets=tuple(target or ()),
        resolutions=tuple(resolution or ()),
        prefer=prefer,
    )
    found = choose(tables, points, wishes)
    if out is not None:
        found.write(out)
    console = stdout_console()
    console.print(selection_view(found))
    for reason in found.reasons:
        console.print(reason, highlight=False, soft_wrap=True)
    if out is not None:
        console.print(f"figures: {out}", highlight=False, soft_wrap=True)
    if found.chosen is None:
        raise typer.Exit(1)


def _compiling(
    source: SourceModel,
    targets: tuple[Target, ...],
    sizes: tuple[int, ...],
    batch: int,
    ranges: Path | None,
    out: Path,
    work: Path | None,
) -> Compiling:
    from rich.console import Console

    from mixdq.eval.grid.built import Compiling

    return Compiling(
        source=source,
        targets=targets,
        resolutions=sizes,
        batch=batch,
        ranges=o.ranges_of(ranges, source, None, None, None, None, None),
        out=out / "bundles",
        work=(work or out / "work").resolve(),
        console=Console(stderr=True),
    )


def _back_ends(targets: tuple[Target, ...], device: Device) -> tuple[BackEnd, ...]:
    from mixdq.configs.gpu import find_gpu
    from mixdq.configs.target import Backend
    from mixdq.eval.grid.cells import BackEnd

    if find_gpu() is None and (device is Device.CUDA or any(t.backend is not Backend.CPU for t in targets)):
        named = ", ".join(map(str, targets))
        raise TargetError(
            f"measuring {named} on a GPU needs an NVIDIA GPU, and this machine has none that its driver "
            "shows; measure there, or take --target cpu --device cpu"
        )
    return tuple(BackEnd(str(target), str(device)) for target in targets)


def _sizes(
    source: SourceModel | None, candidates: tuple[Candidate, ...], given: list[int] | None
) -> tuple[int, ...]:
    """The resolutions asked for; or the model's, or those that all bundles have."""
    from mixdq.compiler.recipe import ascending
    from mixdq.configs.bundle import Bundle

    if source is not None:
        return o.resolutions_of(source, given)
    if given:
        return ascending(given)
    built = [set(Bundle.read(one.bundle).resolutions) for one in candidates if one.bundle is not None]
    if not (common := set.intersection(*built)):
        raise RequestError("the bundles have no resolution in common; give --resolution, or build them anew")
    return ascending(tuple(common))


def _judging(
    file: Path,
    count: int,
    seed: int,
    metrics: str | None,
    weights: tuple[Path | None, Path | None, Path | None, Path | None],
    out: Path,
) -> Judging:
    from mixdq.eval.grid.quality import Judging
    from mixdq.eval.images.order import order_pictures
    from mixdq.eval.images.prompts import read_prompts
    from mixdq.eval.quality.bootstrap import Bootstrap
    from mixdq.eval.quality.options import parse_metrics
    from mixdq.eval.quality.request import Weights

    pictures = order_pictures(read_prompts(file), seed=seed, start=0, count=count, allow_duplicates=False)
    return Judging(pictures, parse_metrics(metrics), Weights(*weights), Bootstrap(10_000, 0), out)


def _prompts_of(model: str) -> Path:
    preset = preset_for(model).prompts_file
    return preset.with_name(_PROMPTS_OF_EMOJI) if model_name(model) == "emoji-turbo" else preset


def _model_of(candidates: tuple[Candidate, ...]) -> str:
    from mixdq.configs.bundle import Bundle

    folder = next(one.bundle for one in candidates if one.bundle is not None)
    return Bundle.read(folder).model.name
