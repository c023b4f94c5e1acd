"""`mixdq-eval`: the commands that score pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mixdq.configs.console import stdout_console

app = typer.Typer()

_WEIGHTS = "Weights that no package ships"


@app.command()
def quality(
    reference: Annotated[
        Path,
        typer.Argument(
            help="The folder to compare with: drawn by mixdq-eval images, or of photographs (no pairs)",
            show_default=False,
        ),
    ],
    generated: Annotated[
        list[Path],
        typer.Argument(
            help="Folders to score, drawn by mixdq-eval images or made by mixdq-eval photographs",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The file of the figures; an older such file is replaced, no other.")
    ] = Path("quality.json"),
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Of fid, kid, ssim, psnr, sqnr, lpips, clip, imagereward, alignment, with commas; one that "
            "can't be measured is then an error. (default: all that can be)"
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="effnet-lite0: compare EfficientNet-Lite0's features, also beside Inception's. (default: "
            "without --inception)"
        ),
    ] = None,
    resize: Annotated[
        str, typer.Option(help="For Inception: clean (clean-fid's), or inside (its own, as StyleGAN).")
    ] = "clean",
    inception: Annotated[
        Path | None,
        typer.Option(help="inception-2015-12-05.pt, for FID and KID proper.", rich_help_panel=_WEIGHTS),
    ] = None,
    clip: Annotated[
        Path | None,
        typer.Option(help="CLIP: a transformers folder or a file of weights.", rich_help_panel=_WEIGHTS),
    ] = None,
    image_reward: Annotated[
        Path | None,
        typer.Option(help="ImageReward.pt, with BERT's vocab.txt beside it.", rich_help_panel=_WEIGHTS),
    ] = None,
    lpips: Annotated[
        Path | None, typer.Option(help="AlexNet's weights, of torchvision.", rich_help_panel=_WEIGHTS)
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks compute: cpu or cuda.")] = "cpu",
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Pictures that a network reads at a time. (default: 8, on a GPU 64)"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals and the controls.")] = 0,
    bootstrap: Annotated[int, typer.Option(min=100, help="Resamples of an interval.")] = 10_000,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder of features that were computed once. (default: .features in each set)"),
    ] = None,
) -> None:
    """Score sets of pictures against a reference set: distances, likeness of pairs, scores against prompts.

    Pairs come from the manifests. Every kind of metric has a control, whose outcome is shown: the reference
    against itself, and pictures against others' prompts. A metric whose control fails is refused.

    Exit code 0 if every control passed, 1 if one did not, 2 on bad input. Features are kept, so that the same
    command goes on where it was stopped.
    """
    # torch takes seconds to import: not for --help.
    from mixdq.eval.quality.bootstrap import Bootstrap
    from mixdq.eval.quality.measure import measure_quality
    from mixdq.eval.quality.options import check_out, parse_features, parse_metrics, parse_resize
    from mixdq.eval.quality.request import QualityRequest, Weights
    from mixdq.eval.quality.view import remarks, view

    check_out(out)
    request = QualityRequest(
        reference=reference,
        generated=tuple(generated),
        metrics=parse_metrics(metrics),
        with_effnet=parse_features(features, with_inception=inception is not None),
        resize=parse_resize(resize),
        device=device,
        batch=batch or (8 if device == "cpu" else 64),
        bootstrap=Bootstrap(bootstrap, seed),
        weights=Weights(inception, clip, image_reward, lpips),
        cache=cache,
    )
    with _progress_bars() as watch:
        table = measure_quality(request, watch)
    table.write(out)
    console = stdout_console()
    console.print(view(table))
    for remark in remarks(table):
        console.print(remark, highlight=False, soft_wrap=True)
    console.print(f"figures: {out}", highlight=False)
    if not table.passed:
        raise typer.Exit(1)


@contextmanager
def _progress_bars() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """A bar a phase, on a terminal alone."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def watch(phase: str) -> Callable[[int, int], None]:
            task = progress.add_task(phase, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield watch
