"""The command of `mixdq-compile` that keeps the best of many plans: `search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mixdq.compiler import options as o
from mixdq.configs.console import stdout_console
from mixdq.configs.errors import PlanError
from mixdq.configs.sensitivity import PAPER_METRICS, Objective, Operand
from mixdq.export.judgement import Measure
from mixdq.export.source import open_source

if TYPE_CHECKING:
    from mixdq.compiler.allocate.subject import Subject
    from mixdq.compiler.search.candidates import Candidate

app = typer.Typer()

_CANDIDATES, _JUDGE, _CHOICES = "Candidates", "How they are judged", "What there is to choose"


@app.command()
def search(
    model: o.Model,
    sensitivity: Annotated[
        list[Path],
        typer.Option("--sensitivity", help="A sensitivity.json, or MixDQ's YAML files, repeated."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", help="The plan.yaml to write, beside its candidates; of a grid the CSV."),
    ],
    weight_bits: Annotated[
        float | None,
        typer.Option("--weight-bits", help="Mean, weighted by size.", rich_help_panel=_CANDIDATES),
    ] = None,
    activation_bits: Annotated[
        float,
        typer.Option("--activation-bits", help="Likewise; 16 for FP16.", rich_help_panel=_CANDIDATES),
    ] = 8.0,
    ratios: Annotated[
        str,
        typer.Option(
            "--ratios",
            help="Mean weight bits of content over those of quality, from:to:count.",
            rich_help_panel=_CANDIDATES,
        ),
    ] = "0.45:1.36:20",
    activation_ratios: Annotated[
        str,
        typer.Option(
            "--activation-ratios",
            help="Likewise of activations below their largest width; all pairs are judged.",
            rich_help_panel=_CANDIDATES,
        ),
    ] = "0.94:1.09:20",
    grid: Annotated[
        int | None,
        typer.Option(
            "--grid",
            help="N by N budgets of weights instead; the predicted frontier is judged, as CSV.",
            rich_help_panel=_CANDIDATES,
        ),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Judge other ways to spend the chosen budgets beside.",
            rich_help_panel=_CANDIDATES,
        ),
    ] = False,
    baseline_seeds: Annotated[
        int,
        typer.Option("--baseline-seeds", help="Random ones of each kind.", rich_help_panel=_CANDIDATES),
    ] = 3,
    judge_by: Annotated[
        Measure,
        typer.Option(
            "--judge-by",
            help="What decides. PSNR is of the pictures, and no programme maximizes it, so that it takes "
            "neither group's side.",
            rich_help_panel=_JUDGE,
        ),
    ] = Measure.PSNR,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", help="One a line. (default: the preset's)", rich_help_panel=_JUDGE),
    ] = None,
    prompt_count: Annotated[
        int, typer.Option("--prompt-count", help="How many of them; at least 32.", rich_help_panel=_JUDGE)
    ] = 32,
    seed: Annotated[
        int,
        typer.Option("--seed", help="Prompt i starts from the noise of SEED + i.", rich_help_panel=_JUDGE),
    ] = o.DEFAULT_SEED,
    resolution: Annotated[
        int | None,
        typer.Option(
            "--resolution",
            help="Pixels. (default: 512 for SDXL-Turbo, else the model's smallest)",
            rich_help_panel=_JUDGE,
        ),
    ] = None,
    ranges: Annotated[
        Path | None,
        typer.Option(
            "--ranges",
            help="A ranges.json. (default: calibrate as `run` does, into OUT's name.ranges.json)",
            rich_help_panel=_JUDGE,
        ),
    ] = None,
    target: Annotated[
        str, typer.Option("--target", help="Whose quantizer is simulated.", rich_help_panel=_JUDGE)
    ] = "cpu",
    device: Annotated[
        str | None,
        typer.Option(
            "--device", help="cpu or cuda. (default: cuda if torch finds a GPU)", rich_help_panel=_JUDGE
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch", help="Prompts at once. (default: by resolution and device)", rich_help_panel=_JUDGE
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Drop what an earlier run judged.", rich_help_panel=_JUDGE)
    ] = False,
    objective: Annotated[
        Objective,
        typer.Option(
            "--objective",
            help="scores: their sum, as in the paper; noise: the power that is lost, which adds up.",
            rich_help_panel=_CHOICES,
        ),
    ] = Objective.SCORES,
    widths: Annotated[
        list[str] | None,
        typer.Option(
            "--widths",
            help="Bits of one programme, quality.weight=2,4,8. (default: the paper's)",
            rich_help_panel=_CHOICES,
        ),
    ] = None,
    protect_share: Annotated[
        float,
        typer.Option(
            "--protect-share",
            help="Share of each group's activations that stays FP16.",
            rich_help_panel=_CHOICES,
        ),
    ] = 0.01,
    protected: Annotated[
        Path | None,
        typer.Option(
            "--protected", help="MixDQ's .pt of protected layers instead.", rich_help_panel=_CHOICES
        ),
    ] = None,
    limit_s: Annotated[float, typer.Option("--limit-s", help="Seconds for each programme.", min=0.1)] = 60.0,
    no_bos_aware: o.NoBosAware = False,
    no_split_shortcuts: o.NoSplit = False,
    weights: o.Weights = None,
    variant: o.Variant = None,
    lora: o.Loras = None,
    vae: o.Vae = None,
    vae_precision: o.Precisions = "float32",
    scheduler: o.Sampler = None,
) -> None:
    """Judge the optima of many splits of the budgets on the model itself, and keep the best (algorithm 1).

    Every figure is kept at once in OUT.judged: the same command goes on where it was stopped.
    """
    from mixdq.compiler.allocate.opening import open_subject
    from mixdq.compiler.search.opening import JudgeWords
    from mixdq.compiler.search.searching import Forms, run_grid, run_search

    if (grid is None) == (weight_bits is None):
        raise PlanError("--weight-bits is a budget to split, --grid judges many; give one of them")
    if grid is not None and baselines:
        raise PlanError("--baselines spend the budgets of one plan, and a grid has many; leave out one")
    source = open_source(o.choice_of(model, weights, variant, vae, vae_precision, lora, scheduler))
    words = JudgeWords(
        prompts, prompt_count, seed, resolution, ranges, target, device, batch, restart=restart
    )
    order = words.order(source, out)
    protect = protected or protect_share
    subject = open_subject(
        order.table, sensitivity, widths or (), PAPER_METRICS, protect, order.resolution, objective
    )
    forms = Forms(bos_aware=not no_bos_aware, split_shortcuts=not no_split_shortcuts)
    found = _solve(subject, weight_bits, activation_bits, ratios, activation_ratios, grid, limit_s)
    parts = (
        run_search(order, found, forms, judge_by, baseline_seeds if baselines else None)
        if grid is None
        else run_grid(order, found, forms, judge_by)
    )
    console = stdout_console()
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str), highlight=False)


def _solve(
    subject: Subject,
    weight_bits: float | None,
    activation_bits: float,
    ratios: str,
    activation_ratios: str,
    grid: int | None,
    limit_s: float,
) -> tuple[Candidate, ...]:
    from mixdq.compiler.allocate.words import parse_ratios
    from mixdq.compiler.search import candidates

    splits = {
        Operand.WEIGHT: parse_ratios(ratios),
        Operand.ACTIVATION: parse_ratios(activation_ratios),
    }
    with Console(stderr=True).status("") as status:

        def watch(done: int, total: int) -> None:
            status.update(f"{done + 1} of {total} programmes")

        if weight_bits is None:
            assert grid is not None
            return candidates.grid(subject, grid, activation_bits, 1.0, watch, limit_s=limit_s)
        return candidates.candidates(subject, weight_bits, activation_bits, splits, watch, limit_s=limit_s)
