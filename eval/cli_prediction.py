"""`mixdq-eval`: whether sensitivities foretell what plans are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.console import stdout_console

app = typer.Typer()

_PLANS, _JUDGE = "Plans", "How they are judged"


@app.command()
def prediction(
    model: Annotated[
        str, typer.Argument(help="emoji-turbo, a diffusers folder, or a hub id.", show_default=False)
    ],
    sensitivity: Annotated[list[Path], typer.Option(help="A sensitivity.json, or MixDQ's YAML files.")],
    out: Annotated[Path, typer.Option(help="The report; .csv and .png are written beside it.")] = Path(
        "prediction.json"
    ),
    plans: Annotated[int, typer.Option(help="How many at least, 30 or more.", rich_help_panel=_PLANS)] = 60,
    low: Annotated[float, typer.Option(help="Least mean of weight bits.", rich_help_panel=_PLANS)] = 4.25,
    high: Annotated[float, typer.Option(help="Greatest.", rich_help_panel=_PLANS)] = 7.75,
    activation_bits: Annotated[
        list[float] | None,
        typer.Option(
            help="Mean of activation bits; repeat it to take several in turns. (default: 8)",
            rich_help_panel=_PLANS,
        ),
    ] = None,
    plan_seed: Annotated[int, typer.Option(help="Of random plans.", rich_help_panel=_PLANS)] = 0,
    protect_share: Annotated[
        float,
        typer.Option(help="Share of each group's activations that stays FP16.", rich_help_panel=_PLANS),
    ] = 0.01,
    prompts: Annotated[
        Path | None, typer.Option(help="One a line. (default: the preset's)", rich_help_panel=_JUDGE)
    ] = None,
    prompt_count: Annotated[
        int, typer.Option(help="How many of them; at least 32.", rich_help_panel=_JUDGE)
    ] = 32,
    seed: Annotated[
        int, typer.Option(help="Prompt i starts from the noise of SEED + i.", rich_help_panel=_JUDGE)
    ] = 0,
    resolution: Annotated[
        int | None,
        typer.Option(help="Pixels. (default: the model's smallest)", rich_help_panel=_JUDGE),
    ] = None,
    ranges: Annotated[
        Path | None,
        typer.Option(
            help="A ranges.json. (default: calibrate, into OUT's name.ranges.json)", rich_help_panel=_JUDGE
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(help="Whose quantizer is simulated.", rich_help_panel=_JUDGE)
    ] = "cpu",
    device: Annotated[
        str | None,
        typer.Option(help="cpu or cuda. (default: cuda if torch finds a GPU)", rich_help_panel=_JUDGE),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Prompts at once. (default: by resolution and device)", rich_help_panel=_JUDGE),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Drop what an earlier run judged.", rich_help_panel=_JUDGE)
    ] = False,
) -> None:
    """Judge plans of many budgets and kinds, and correlate what sensitivities promised with what they keep.

    Every figure is kept at once in OUT.judged: the same command goes on where it was stopped.
    """
    # What compiles takes seconds to import: not for --help.
    from mixdq.compiler.allocate.opening import open_subject
    from mixdq.compiler.explain.plot_style import save
    from mixdq.compiler.search.opening import JudgeWords
    from mixdq.compiler.search.searching import Forms
    from mixdq.configs.model_choice import ModelChoice
    from mixdq.configs.sensitivity import PAPER_METRICS, Objective
    from mixdq.eval.prediction.drawing import check_request, draw_plans
    from mixdq.eval.prediction.plot import prediction_figure
    from mixdq.eval.prediction.predicting import predict
    from mixdq.export.source import open_source

    check_request(plans, low, high)
    words = JudgeWords(
        prompts, prompt_count, seed, resolution, ranges, target, device, batch, restart=restart
    )
    order = words.order(open_source(ModelChoice(model)), out)
    subject = open_subject(
        order.table, sensitivity, (), PAPER_METRICS, protect_share, order.resolution, Objective.SCORES
    )
    console = stdout_console()
    with console.status("solving"):
        drawn = list(draw_plans(subject, plans, low, high, activation_bits or (8.0,), plan_seed))
    report = predict(order, subject, drawn, Forms(bos_aware=True, split_shortcuts=True))
    report.write(out)
    report.write_csv(out.with_suffix(".csv"))
    save(prediction_figure(report), out.with_suffix(".png"))
    for part in report.in_words():
        console.print(part, soft_wrap=isinstance(part, str), highlight=False)
    for suffix in (".json", ".csv", ".png"):
        print(f"written: {out if suffix == '.json' else out.with_suffix(suffix)}")
