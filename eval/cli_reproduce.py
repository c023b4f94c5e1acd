"""`mixdq-eval`: the paper's and the earlier report's tables and figures, as whole recipes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status

from mixdq.configs.console import stdout_console
from mixdq.configs.errors import EXIT_BAD_INPUT
from mixdq.eval.reproduce.recipe import RecipeName, read_recipe
from mixdq.eval.speed.choices import Device

app = typer.Typer()

_BROUGHT, _LENGTH = "What you bring", "How much"


@app.command()
def reproduce(
    recipe: Annotated[RecipeName, typer.Argument(help="The table or figure.", show_default=False)],
    model: Annotated[
        str, typer.Argument(help="emoji-turbo, a diffusers folder, or a hub id.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The folder of this recipe's table, plots and scores.")],
    work: Annotated[
        Path | None,
        typer.Option(
            help="What recipes share: export, ranges, plans, bundles, pictures. (default: OUT with -work)"
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="The model's: a folder, a checkpoint, synthetic.", rich_help_panel=_BROUGHT),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="One a line, or COCO's captions_val2014.json, whose order of annotations is kept. (default: "
            "emoji-turbo's own)",
            rich_help_panel=_BROUGHT,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Photographs that FID is against. (emoji-turbo's default: full precision)",
            rich_help_panel=_BROUGHT,
        ),
    ] = None,
    sensitivity: Annotated[
        list[Path] | None,
        typer.Option(
            help="sensitivity.json, or MixDQ's YAML files. (default: what ships)", rich_help_panel=_BROUGHT
        ),
    ] = None,
    plan: Annotated[
        list[str] | None,
        typer.Option(
            help="A searched plan in a row's place, w5a8-mixdq=FILE; repeat it.", rich_help_panel=_BROUGHT
        ),
    ] = None,
    inception: Annotated[
        Path | None, typer.Option(help="inception-2015-12-05.pt, for FID.", rich_help_panel=_BROUGHT)
    ] = None,
    clip: Annotated[
        Path | None,
        typer.Option(help="CLIP: a transformers folder or a file.", rich_help_panel=_BROUGHT),
    ] = None,
    image_reward: Annotated[
        Path | None,
        typer.Option(help="ImageReward.pt, with BERT's vocab.txt beside.", rich_help_panel=_BROUGHT),
    ] = None,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial",
            help="Go on without photographs and scorers that are missing; the table names them.",
            rich_help_panel=_BROUGHT,
        ),
    ] = False,
    count: Annotated[
        int | None, typer.Option(min=2, help="Prompts. (default: the source's)", rich_help_panel=_LENGTH)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Prompt i has SEED + i.", rich_help_panel=_LENGTH)] = 0,
    resolution: Annotated[
        int | None, typer.Option(help="Pixels. (default: the model's least)", rich_help_panel=_LENGTH)
    ] = None,
    calibration_count: Annotated[
        int | None,
        typer.Option(min=1, help="Of the preset's prompts. (default: all)", rich_help_panel=_LENGTH),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(min=2, help="fig7, grid: pictures that a process times.", rich_help_panel=_LENGTH),
    ] = 20,
    plans: Annotated[
        int, typer.Option(help="fig8: plans at least; six kinds a budget.", rich_help_panel=_LENGTH)
    ] = 60,
    requests: Annotated[
        int, typer.Option(min=1, help="queue: of each pattern.", rich_help_panel=_LENGTH)
    ] = 100,
    objective_ms: Annotated[
        float, typer.Option(min=1.0, help="queue: from arrival to picture.", rich_help_panel=_LENGTH)
    ] = 1000.0,
    serve: Annotated[
        str,
        typer.Option(metavar="WORDS", help="queue: options of mixdq-serve.", rich_help_panel=_LENGTH),
    ] = "--threads 1",
    bootstrap: Annotated[
        int, typer.Option(min=100, help="Resamples of an interval.", rich_help_panel=_LENGTH)
    ] = 10_000,
    device: Annotated[
        Device, typer.Option(help="What draws and scores; with fig7, cuda times the UNet alone.")
    ] = Device.CPU,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Draw with the plans' simulation in torch, without engines.")
    ] = False,
) -> None:
    """Make a table or figure of the paper, or of the earlier report, again, its source's figures beside.

    What is missing is said first, all of it. OUT gets NAME.json, NAME.csv, NAME.md and plots; the same
    command goes on where it was stopped. A folder of another recipe or of other options is refused.

    Exit code 0, or 2 on bad input.
    """
    # What compiles and draws takes seconds to import: not for --help.
    from mixdq.eval.quality.bootstrap import Bootstrap
    from mixdq.eval.quality.request import Weights
    from mixdq.eval.reproduce.needs import NeedsError
    from mixdq.eval.reproduce.reproduce import reproduce as make
    from mixdq.eval.reproduce.request import Load, Request

    request = Request(
        recipe=recipe,
        model=model,
        weights=weights,
        out=out,
        work=work or out.with_name(f"{out.name}-work"),
        prompts=prompts,
        count=count,
        seed=seed,
        resolution=resolution,
        sensitivity=tuple(sensitivity or ()),
        plans=tuple(plan or ()),
        reference=reference,
        scorers=Weights(inception, clip, image_reward),
        device=str(device),
        simulate=simulate,
        partial=partial,
        calibration_count=calibration_count,
        bootstrap=Bootstrap(bootstrap, 0),
        repeats=repeats,
        plan_count=plans,
        load=Load(requests, objective_ms, tuple(shlex.split(serve)), seed),
        command=shlex.join(["mixdq-eval", *sys.argv[1:]]),
    )
    try:
        with _phases() as (console, watch):
            found = make(read_recipe(recipe), request, console, watch, lambda line: print(line, flush=True))
    except NeedsError as error:
        # Every other error is one line; this is a list.
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(EXIT_BAD_INPUT) from error
    results = stdout_console()
    for line in found.findings:
        results.print(line, highlight=False, soft_wrap=True)
    results.print(f"table, figures and plots: {out}", highlight=False, soft_wrap=True)


class _Phase:
    """A line for the phase under way, on a terminal alone; a new phase takes the old one's place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def __call__(self, phase: str) -> Callable[[int, int], None]:
        """Begins a phase, which is shown with its first report: the compiler has lines of its own."""
        self.stop()

        def report(done: int, total: int) -> None:
            words = f"{phase}: {done} of {total}" if total else phase
            if not self._console.is_terminal:
                return
            if self._status is None:
                self._status = self._console.status(words)
                self._status.start()
            self._status.update(words)

        return report

    def stop(self) -> None:
        """Takes the line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None


@contextmanager
def _phases() -> Iterator[tuple[Console, _Phase]]:
    """The console of the compiler's progress, and the phases of the rest."""
    console = Console(stderr=True)
    phase = _Phase(console)
    try:
        yield console, phase
    finally:
        phase.stop()
