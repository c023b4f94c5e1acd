"""`mixdq-eval unet-speed`: a UNet of made-up weights, in several ways, on a GPU."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.console import stdout_console
from mixdq.configs.errors import EvaluationError, StoppedError
from mixdq.configs.gpu import find_gpu
from mixdq.eval.speed.choices import Device
from mixdq.eval.speed.unet_trial_choices import USUAL_CASES, WAYS, Case

app = typer.Typer()


@app.command("unet-speed")
def unet_speed(
    out: Annotated[Path, typer.Option(help="A folder for the figures.")],
    case: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WAY:RESOLUTION[:BATCH]",
            help=f"What to time, e.g. w8a8:512 or compiled:512:8; ways are {', '.join(WAYS)}. All ways at "
            "512, 768 and 1024 if not given.",
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Whose architecture.")] = "sdxl-turbo",
    device: Annotated[Device, typer.Option(help="cpu to try the command.")] = Device.CUDA,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait for compilers.")] = 3600.0,
    at_once: Annotated[int, typer.Option(min=1, help="Cases that compile at the same time.")] = 12,
) -> None:
    """Time a UNet of made-up weights, compiled in several ways: milliseconds, memory, kernels.

    Speed and memory depend on shapes, so no weights are read. Each case compiles in a process of its own;
    then each is timed alone. DIR/unet.csv, kinds.csv and kernels.csv are written anew after each.
    """
    cases = tuple(dict.fromkeys(Case.parse(text) for text in case or USUAL_CASES))
    if device is Device.CUDA and find_gpu() is None:
        raise EvaluationError(
            "a UNet's speed is measured on an NVIDIA GPU, and this machine has none that its driver shows; "
            "run this on one that has, or try it with --device cpu --model emoji-turbo eager:64"
        )
    from mixdq.eval.speed.unet_trial import TrialOrder, run_trial
    from mixdq.eval.speed.unet_trial_files import TrialFiles
    from mixdq.eval.speed.unet_trial_view import trial_view

    out.mkdir(parents=True, exist_ok=True)
    files = TrialFiles(out, shlex.join(["mixdq-eval", *sys.argv[1:]]))
    order = TrialOrder(cases, model, str(device), patience, at_once)
    console = stdout_console()
    with (out / "log.txt").open("w", encoding="utf-8") as log, console.status("") as status:
        try:
            for figures in run_trial(order, log, status.update):
                files.add(figures)
                console.print(f"{figures.case}: {figures.missing or figures.figures}", highlight=False)
        except KeyboardInterrupt:
            timed = sum(not one.missing for one in files.found)
            raise StoppedError(_stopped(out, timed)) from None
    console.print(trial_view(files.found))
    console.print(f"figures: {out / 'unet.csv'}", highlight=False, soft_wrap=True)


def _stopped(folder: Path, timed: int) -> str:
    kept = f"{folder} holds the cases timed so far ({timed})" if timed else "this run timed nothing yet"
    return (
        f"interrupted; {kept}; the same command begins anew, because only figures of one run can be compared"
    )
