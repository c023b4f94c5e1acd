"""`mixdq-eval forms`: what storing, clipping and centring in each way cost in quality."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.console import stdout_console

app = typer.Typer()


@app.command()
def forms(
    model: Annotated[
        str, typer.Argument(help="emoji-turbo, a diffusers folder, or a hub id.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The report; a table in Markdown is written beside it.")] = Path(
        "forms.json"
    ),
    target: Annotated[
        str, typer.Option(help="Whose quantizer is simulated: tensorrt, or rtx:sm75 to sm121.")
    ] = "rtx:sm89",
    prompts: Annotated[Path | None, typer.Option(help="One a line. (default: the preset's)")] = None,
    prompt_count: Annotated[int, typer.Option(help="How many of them; at least 32.")] = 32,
    seed: Annotated[int, typer.Option(help="Prompt i starts from the noise of SEED + i.")] = 0,
    resolution: Annotated[int | None, typer.Option(help="Pixels. (default: the model's smallest)")] = None,
    ranges: Annotated[
        Path | None, typer.Option(help="A ranges.json. (default: calibrate, into OUT's name.ranges.json)")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda. (default: cuda if torch finds a GPU)")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Prompts at once. (default: by resolution and device)")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Drop what an earlier run judged.")] = False,
) -> None:
    """Simulate each form that TensorRT has for all layers at once, and compare it with full precision.

    Forms that a target would refuse are simulated too. Every figure is kept at once in OUT.judged: the same
    command goes on where it was stopped.
    """
    # What compiles takes seconds to import: not for --help.
    from mixdq.compiler.search.opening import JudgeWords
    from mixdq.compiler.search.searching import judge
    from mixdq.configs.errors import EvaluationError
    from mixdq.configs.model_choice import ModelChoice
    from mixdq.configs.presets import preset_for
    from mixdq.configs.target import Target
    from mixdq.eval.form_cases import form_cases
    from mixdq.eval.form_report import FormReport, JudgedForm
    from mixdq.export.source import open_source

    whose = Target.parse(target)
    if not whose.dialect.symmetric:
        raise EvaluationError(
            f"forms are those of TensorRT, and {target} has INT8 weights and asymmetric activations alone; "
            "give --target tensorrt or rtx:sm89"
        )
    words = JudgeWords(
        prompts, prompt_count, seed, resolution, ranges, target, device, batch, restart=restart
    )
    order = words.order(open_source(ModelChoice(model)), out)
    cases = form_cases(order.table, preset_for(order.table.model.name).protect, whose)
    done = judge(order, [case.plan for case in cases]).value
    report = FormReport(
        model=order.table.model.name,
        target=target,
        conditions=done.conditions,
        forms=tuple(
            JudgedForm(
                case.precision,
                case.what,
                case.plan.digest,
                case.weight_bytes,
                done.fidelities[case.plan.digest],
            )
            for case in cases
        ),
    )
    report.write(out)
    table = out.with_suffix(".md")
    report.write_table(table)
    for part in report.in_words():
        stdout_console().print(part, soft_wrap=isinstance(part, str), highlight=False)
    print(f"written: {out}\nwritten: {table}")
