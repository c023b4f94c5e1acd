"""`mixdq-eval`: the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from mixdq.configs.console import run_app, stdout_console
from mixdq.eval import (
    cli_ablation,
    cli_claims,
    cli_compare,
    cli_cuda,
    cli_deployed,
    cli_forms,
    cli_grid,
    cli_images,
    cli_load,
    cli_photographs,
    cli_prediction,
    cli_quality,
    cli_report,
    cli_reproduce,
    cli_speed,
    cli_text_embed,
    cli_unet_speed,
)

app = typer.Typer(
    name="mixdq-eval",
    help="Judge what mixdq-compile built.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for part in (
    cli_images,
    cli_photographs,
    cli_quality,
    cli_speed,
    cli_compare,
    cli_ablation,
    cli_prediction,
    cli_reproduce,
    cli_forms,
    cli_deployed,
    cli_cuda,
    cli_load,
    cli_text_embed,
    cli_unet_speed,
    cli_grid,
    cli_claims,
    cli_report,
):
    app.add_typer(part.app)


@app.callback()
def _commands() -> None:
    """Judge what mixdq-compile built."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder for bundles, samples.png and report.json.")],
    model: Annotated[str, typer.Option(help="emoji-turbo, a diffusers folder, or a hub id.")] = "emoji-turbo",
    seed: Annotated[int, typer.Option(min=0, help="The noise of the first picture.")] = 0,
) -> None:
    """Compile a model in several ways, draw eight prompts with each, compare speed, size and pictures."""
    # The compiler's libraries take seconds to import: not for --help.
    from mixdq.eval.demo import demo as run_demo

    console = stdout_console()
    report = run_demo(model, out, seed, console)
    console.print(report.table())
    console.print(f"pictures: {out / 'samples.png'}   figures: {out / 'report.json'}", highlight=False)


@app.command()
def agreement(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    model: Annotated[str, typer.Option(help="The model that it was compiled from.")] = "emoji-turbo",
    resolution: Annotated[
        int | None, typer.Option(help="Pixels; the bundle's smallest if not given.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="What to draw.")] = "red apple",
    seed: Annotated[int, typer.Option(min=0, help="The noise.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Also write the figures, layer by layer.")] = None,
) -> None:
    """Compare a bundle's quantized graphs with the simulation of its plan, layer by layer and as a whole."""
    from mixdq.configs.bundle import Bundle
    from mixdq.eval.agreement_report import measure_bundle

    size = resolution or min(Bundle.read(bundle).resolutions)
    report = measure_bundle(bundle, model, resolution=size, prompt=prompt, seed=seed)
    if json is not None:
        report.write(json)
    stdout_console().print(report.table())


@app.command()
def selftest(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    target: Annotated[
        list[str] | None, typer.Option(help="One of its targets; may be repeated. All if not given.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="What to draw.")] = "red apple",
    seed: Annotated[int, typer.Option(min=0, help="The noise.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Measured runs of each engine.")] = 3,
    json: Annotated[Path | None, typer.Option(help="The figures; DIR/selftest.json if not given.")] = None,
) -> None:
    """Run every engine of a bundle that this machine can execute: digests, pictures, agreement, time, memory.

    Exit code 0 if all that could run passed, 1 if something failed, 2 if nothing could run.
    """
    from mixdq.eval.selftest import Drawing
    from mixdq.eval.selftest import selftest as run_selftest

    console = stdout_console()
    with console.status("") as status:
        drawing = Drawing(prompt, seed, rounds)
        report = run_selftest(bundle, target or (), drawing, lambda phase, done, total: status.update(phase))
    path = json or bundle / "selftest.json"
    report.write(path)
    console.print(report.table())
    for reason in report.reasons():
        console.print(reason, highlight=False, soft_wrap=True)
    console.print(f"figures: {path}", highlight=False)
    if not report.passed:
        raise typer.Exit(1)


def main() -> NoReturn:
    """The command line."""
    run_app(app)


if __name__ == "__main__":
    main()
