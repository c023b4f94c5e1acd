"""`mixdq-eval`: the commands that draw pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mixdq.compiler import options as o
from mixdq.configs.errors import RequestError
from mixdq.configs.model_choice import ModelChoice

if TYPE_CHECKING:  # what draws takes seconds to import: not for --help
    from mixdq.eval.images.source import PictureSource

app = typer.Typer()

_BUNDLE, _REFERENCE = "A bundle alone", "The reference alone"


@app.command()
def images(
    source: Annotated[
        str,
        typer.Argument(
            help="A bundle's folder, or for the reference a model: emoji-turbo, a diffusers folder, a hub id",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder of the pictures and their manifest.json.")],
    prompts: Annotated[
        Path,
        typer.Option(
            help="Text, one a line, blank lines skipped; or .json: COCO's captions, a list of texts, or of "
            "objects with a caption or a prompt."
        ),
    ],
    resolution: Annotated[int, typer.Option(help="Pixels of each side.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the noise: prompt i of the list has SEED + i.")],
    count: Annotated[
        int | None, typer.Option(min=1, help="Draw so many prompts. (default: all that follow)")
    ] = None,
    start: Annotated[int, typer.Option(min=0, help="Begin with this prompt, counted from 0.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 1,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pictures of one call. A folder that has pictures keeps its own, or takes fewer where "
            "memory runs out: the set is then not bit for bit that of one run, and its manifest says so. "
            "(default: as many as the bundle makes at once; the reference 8 at 256 pixels)",
        ),
    ] = None,
    allow_duplicates: Annotated[
        bool, typer.Option("--allow-duplicates", help="Let a prompt occur twice: each has its own seed.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="Where ONNX Runtime, or the reference, computes: cpu or cuda.")
    ] = "cpu",
    target: Annotated[
        str | None,
        typer.Option(help="Which engines: cpu, rtx:sm89, … (default: cpu)", rich_help_panel=_BUNDLE),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Calls side by side on the CPU, which share its cores. A folder that has pictures keeps its "
            "own. (default: 2, or 1 on one core)",
            rich_help_panel=_BUNDLE,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="float32, float16 or bfloat16, of all but the VAE. (default: float32)",
            rich_help_panel=_REFERENCE,
        ),
    ] = None,
    weights: o.Weights = None,
    variant: o.Variant = None,
    lora: o.Loras = None,
    vae: o.Vae = None,
    vae_precision: o.Precisions = "float32",
    scheduler: o.Sampler = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Draw a list of prompts with a bundle or the reference pipeline; both get the same noise.

    The folder gets a PNG a prompt, named after its place in the list, and manifest.json: prompt, seed, file
    and SHA-256 of each, what drew them and how (batch, calls side by side, threads). The same command goes on
    where it was stopped, and draws anew what is missing or damaged, to the bytes of a run that was never
    stopped, unless --batch is made smaller on the way; a folder of another run is refused.

    Options of the model (its weights, VAE, LoRAs, sampler) are the reference's: a bundle has them built in.
    """
    from mixdq.configs.documents import to_plain
    from mixdq.eval.images.draw import draw_set
    from mixdq.eval.images.order import order_pictures
    from mixdq.eval.images.prompts import read_prompts

    pictures = order_pictures(
        read_prompts(prompts), seed=seed, start=start, count=count, allow_duplicates=allow_duplicates
    )
    drawing = _Drawing(source, resolution, steps, batch, device)
    if drawing.is_bundle:
        model = (
            weights,
            variant,
            lora,
            vae,
            scheduler,
            None if vae_precision == "float32" else vae_precision,
        )
        if precision is not None or any(model):
            raise RequestError(
                f"{source} is a bundle, whose model and precisions are built in: leave out --precision, "
                "--weights, --variant, --lora, --vae, --vae-precision and --scheduler, or name a model"
            )
        painter = drawing.of_bundle(target or "cpu", jobs)
    else:
        if target is not None or jobs is not None:
            raise RequestError(
                f"{source} is no bundle (it holds no bundle.json): leave out --target and --jobs, which the "
                "reference pipeline has no use for, or give a bundle's folder"
            )
        painter = drawing.of_model(
            o.choice_of(source, weights, variant, vae, vae_precision, lora, scheduler), precision or "float32"
        )
    with _progress_bar() as report:
        done = draw_set(painter, pictures, out, report)
    print(json.dumps(to_plain(done), indent=2) if as_json else done.in_words())


@dataclass(frozen=True, slots=True)
class _Drawing:
    """The options that a bundle and the reference share."""

    source: str
    resolution: int
    steps: int
    batch: int | None
    device: str

    @property
    def is_bundle(self) -> bool:
        return (Path(self.source) / "bundle.json").is_file()

    def of_bundle(self, target: str, jobs: int | None) -> PictureSource:
        from mixdq.eval.images.bundle_source import bundle_source

        return bundle_source(
            Path(self.source),
            target=target,
            device=self.device,
            resolution=self.resolution,
            steps=self.steps,
            batch=self.batch,
            jobs=jobs,
        )

    def of_model(self, choice: ModelChoice, precision: str) -> PictureSource:
        from mixdq.eval.images.reference_source import reference_source
        from mixdq.export.source import open_source

        return reference_source(
            open_source(choice),
            device=self.device,
            precision=precision,
            resolution=self.resolution,
            steps=self.steps,
            batch=self.batch,
        )


@contextmanager
def _progress_bar() -> Iterator[Callable[[int, int], None]]:
    """What to report with: a bar with the time that is left; nothing in a file or a pipe."""
    console = Console(stderr=True)
    columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
