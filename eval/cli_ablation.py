"""`mixdq-eval`: the ablation, and the pictures that emoji-turbo was trained on."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mixdq.configs.console import stdout_console
from mixdq.configs.errors import EvaluationError
from mixdq.configs.presets import model_name, preset_for
from mixdq.configs.shipped_search import shipped_layers, shipped_sensitivity

if TYPE_CHECKING:  # what compiles takes seconds to import: not for --help
    from mixdq.configs.layers import LayerTable
    from mixdq.export.source import SourceModel

app = typer.Typer()

_PROMPTS_OF_EMOJI = "emoji-512.txt"


@app.command()
def ablation(
    model: Annotated[
        str, typer.Argument(help="emoji-turbo, a diffusers folder, or a hub id.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The folder of plans, pictures, scores and tables.")],
    sensitivity: Annotated[
        Path | None, typer.Option(help="A sensitivity.json. (default: the one that ships for the model)")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="One a line, or .json. (default: emoji-512.txt, or the preset's)")
    ] = None,
    count: Annotated[int, typer.Option(min=2, help="Pictures of each row.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise: prompt i has SEED + i.")] = 0,
    training: Annotated[
        Path | None,
        typer.Option(help="A folder of the pictures that the model was trained on, to compare with as well."),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(help="Some rows, by name or budget, with commas: w8a8,w4a8-mixdq. (default: all)"),
    ] = None,
    plan: Annotated[
        list[str] | None,
        typer.Option(
            help="A searched plan in a row's place, w5a8-mixdq=FILE or, if searched by lost noise, "
            "w5a8-noise=FILE; w8a8=FILE, which has one such row. May be repeated."
        ),
    ] = None,
    ratio: Annotated[
        float | None,
        typer.Option(
            help="Mean weight bits of content over quality in the rows of MixDQ and by lost noise. (default: "
            "MixDQ's of twenty from 0.45 to 1.36 the one whose programmes promise the most, the others' 1)"
        ),
    ] = None,
    by_role: Annotated[
        bool, typer.Option("--by-role", help="Also judge each role's layers alone at W8A8, in simulation.")
    ] = False,
    role_prompts: Annotated[int, typer.Option(min=1, help="The first of the prompts, for --by-role.")] = 32,
    columns: Annotated[int, typer.Option(min=1, help="Prompts on the contact sheet.")] = 8,
    resolution: Annotated[
        int | None, typer.Option(help="Pixels. (default: the smallest of the model's preset)")
    ] = None,
    calibration_count: Annotated[
        int | None, typer.Option(min=1, help="Of the preset's calibration prompts. (default: all)")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="Folder of the export and ranges. (default: OUT/work)")
    ] = None,
    keep_bundles: Annotated[
        bool, typer.Option("--keep-bundles", help="Keep each row's bundle, in OUT/bundles.")
    ] = False,
    bootstrap: Annotated[int, typer.Option(min=100, help="Resamples of an interval.")] = 10_000,
) -> None:
    """The paper's ablation: naive, + BOS-aware, + mixed precision, + decoupled, at several bit-widths.

    Every row is a plan, compiled for ONNX Runtime, that draws the same prompts from the same noise and is
    compared with full precision. OUT gets ablation.json, ablation.md and samples.png. The same command goes
    on where it was stopped; a folder of another ablation is refused.

    Exit code 0, or 1 if a metric's control failed, so that some score is refused; 2 on bad input.
    """
    from mixdq.compiler.allocate.words import read_sensitivities
    from mixdq.compiler.options import calibration_of, resolutions_of
    from mixdq.configs.model_choice import ModelChoice
    from mixdq.eval.ablation.ablate import Request, ablate, header_of
    from mixdq.eval.ablation.cases import choose_cases
    from mixdq.eval.ablation.plans import PlanMaker, read_given
    from mixdq.eval.ablation.rows import Studio
    from mixdq.eval.ablation.training import open_training
    from mixdq.eval.images.order import order_pictures
    from mixdq.eval.images.prompts import read_prompts
    from mixdq.eval.quality.bootstrap import Bootstrap
    from mixdq.export.source import open_source

    cases = choose_cases(rows)
    file = prompts or _prompts_of(model)
    pictures = order_pictures(read_prompts(file), seed=seed, start=0, count=count, allow_duplicates=False)
    trained_on = None if training is None else open_training(training, pictures)
    scores = sensitivity or shipped_sensitivity(model)
    if scores is None:
        raise EvaluationError(
            f"no sensitivity table ships for {model}; measure one with `mixdq-compile sensitivity {model}` "
            "and give it with --sensitivity"
        )
    source = open_source(ModelChoice(model))
    (size,) = resolutions_of(source, [resolution or min(resolutions_of(source, None))])
    shared = (work or out / "work").resolve()
    table = _layers_of(model, source, size, shared)
    maker = PlanMaker(table, read_sensitivities([scores], table), size, ratio, read_given(plan or [], table))
    calibration = calibration_of(source, None, calibration_count, None, None, None)
    with _progress_bars() as (console, watch):
        studio = Studio(source, out, shared, pictures, size, keep_bundles, console, watch, calibration)
        request = Request(
            cases=cases,
            plans=maker,
            studio=studio,
            training=trained_on,
            header=header_of(maker, studio, seed),
            bootstrap=Bootstrap(bootstrap, 0),
            role_prompts=role_prompts if by_role else 0,
            columns=columns,
            command=_command(),
        )
        found = ablate(request, lambda line: print(line, flush=True))
    for name in ("ablation.json", "ablation.md", "samples.png"):
        stdout_console().print(f"written: {out / name}", highlight=False, soft_wrap=True)
    if found.failed_controls:
        raise typer.Exit(1)


@app.command()
def emoji_pictures(
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the npm packages; they are fetched if absent. (default: a cache)"),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Write the pictures of these labels. (default: all)")
    ] = None,
    resolution: Annotated[int, typer.Option(min=8, help="Pixels of each side.")] = 128,
) -> None:
    """Write the pictures that emoji-turbo was trained on, with their captions: for --training."""
    from mixdq.eval.ablation.training import write_emoji_pictures
    from mixdq.eval.images.prompts import read_prompts
    from mixdq.export.emoji_turbo.data import default_folder

    labels = () if prompts is None else read_prompts(prompts)
    count = write_emoji_pictures(data or default_folder(), out, labels, resolution)
    print(f"{out}: {count} pictures of {resolution} pixels, and their captions")


def _prompts_of(model: str) -> Path:
    preset = preset_for(model).prompts_file
    return preset.with_name(_PROMPTS_OF_EMOJI) if model_name(model) == "emoji-turbo" else preset


def _layers_of(model: str, source: SourceModel, resolution: int, work: Path) -> LayerTable:
    """The model's layers: of a file that ships or that an earlier run left, if it fits; else of the model."""
    from mixdq.compiler.progress import child_on_terminal
    from mixdq.compiler.saved_recipe import LAYERS_FILE
    from mixdq.compiler.torch_stages import find_layers
    from mixdq.configs.layers import LayerTable

    for path in (shipped_layers(model), work / LAYERS_FILE):
        if path is not None and path.is_file():
            table = LayerTable.read(path)
            if table.model == source.identity and resolution in table.layers[0].macs:
                return table
    return child_on_terminal("layers", find_layers, source, (resolution,)).value


def _command() -> str:
    """The command line, with the program's name and not its place."""
    return shlex.join(["mixdq-eval", *sys.argv[1:]])


class _Bars:
    """A bar for the phase under way, on a terminal alone; a new phase takes the old one's place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None

    def __call__(self, phase: str) -> Callable[[int, int], None]:
        """Begins a phase; its bar is shown with its first report."""
        self.stop()
        if not self._console.is_terminal:
            return lambda done, total: None
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        bar = Progress(*columns, console=self._console, transient=True)
        task = bar.add_task(phase, total=None)

        def report(done: int, total: int) -> None:
            if self._bar is not bar:
                self.stop()
                self._bar = bar
                bar.start()
            bar.update(task, completed=done, total=total)

        return report

    def stop(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextmanager
def _progress_bars() -> Iterator[tuple[Console, _Bars]]:
    """The console of the compiler's progress, and the bars of the rest."""
    console = Console(stderr=True)
    bars = _Bars(console)
    try:
        yield console, bars
    finally:
        bars.stop()
