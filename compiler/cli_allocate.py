"""The commands of `mixdq-compile` that choose bits: `allocate`, and `bitmaps` for MixDQ's own files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mixdq.compiler import options as o
from mixdq.compiler.layers_of import layers_of, smallest_resolution
from mixdq.configs.capability import find_capability
from mixdq.configs.console import stdout_console
from mixdq.configs.errors import PlanError
from mixdq.configs.latency_table import LatencyTable
from mixdq.configs.layers import Group, LayerTable
from mixdq.configs.sensitivity import PAPER_METRICS, Metric, Objective, Operand

if TYPE_CHECKING:
    from mixdq.compiler.allocate.baselines import Baseline
    from mixdq.compiler.allocate.layer_times import LayerTimes
    from mixdq.compiler.allocate.request import Request
    from mixdq.compiler.allocate.subject import Subject
    from mixdq.compiler.allocate.sweep import Point
    from mixdq.compiler.legal.choices import Rules

allocation = typer.Typer()

_BUDGETS, _CHOICES, _SWEEP = "Budgets", "What there is to choose", "Sweeps"

_ModelOrLayers = Annotated[
    str,
    typer.Argument(
        help="A layers.json, a folder that holds one, or a model as `run` takes it.", show_default=False
    ),
]
_Sensitivity = Annotated[
    list[Path],
    typer.Option(
        "--sensitivity", help="A sensitivity.json, or MixDQ's YAML files, repeated.", show_default=False
    ),
]
_Resolution = Annotated[
    int | None,
    typer.Option(
        "--resolution",
        help="Pixels at which activations are counted. (default: the layer table's smallest)",
        rich_help_panel=_CHOICES,
    ),
]


@allocation.command()
def allocate(
    model: _ModelOrLayers,
    sensitivity: _Sensitivity,
    out: Annotated[Path, typer.Option("--out", help="The plan.yaml to write; of a sweep the CSV.")],
    weight_bits: Annotated[
        float | None, typer.Option("--weight-bits", help="Mean, weighted by size.", rich_help_panel=_BUDGETS)
    ] = None,
    activation_bits: Annotated[
        float | None,
        typer.Option("--activation-bits", help="Likewise; 16 for FP16.", rich_help_panel=_BUDGETS),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option("--memory", help="Of the packed weights: 1.6GiB, 900MiB.", rich_help_panel=_BUDGETS),
    ] = None,
    latency_ms: Annotated[
        float | None,
        typer.Option("--latency-ms", help="Of one run of the UNet; joint.", rich_help_panel=_BUDGETS),
    ] = None,
    latency: Annotated[
        Path | None,
        typer.Option("--latency", help="What `mixdq-eval latency --layers` wrote.", rich_help_panel=_BUDGETS),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help="Choose in one programme among what rtx:sm89 runs, with its real bytes; and whose times to "
            "read. (default: any widths, packed; times of cpu)",
            rich_help_panel=_CHOICES,
        ),
    ] = None,
    block: Annotated[
        int | None,
        typer.Option(
            "--block",
            help="Of a target: 32, 64 or 128 inputs share a scale of a four-bit weight.",
            rich_help_panel=_CHOICES,
        ),
    ] = None,
    unwritten: Annotated[
        bool,
        typer.Option(
            "--unwritten",
            help="Also what the target takes and mixdq can't write yet: not to be compiled.",
            rich_help_panel=_CHOICES,
        ),
    ] = False,
    ratio: Annotated[
        float,
        typer.Option(
            "--ratio", help="Mean weight bits of content over those of quality.", rich_help_panel=_BUDGETS
        ),
    ] = 1.0,
    activation_ratio: Annotated[
        float, typer.Option("--activation-ratio", help="Likewise of activations.", rich_help_panel=_BUDGETS)
    ] = 1.0,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            help="Mean bits of one programme, content.weight=3.36, in place of the split's.",
            rich_help_panel=_BUDGETS,
        ),
    ] = None,
    joint: Annotated[
        bool, typer.Option("--joint", help="One programme over all layers and both operands.")
    ] = False,
    widths: Annotated[
        list[str] | None,
        typer.Option(
            "--widths",
            help="Bits of one programme, quality.weight=2,4,8. (default: the paper's)",
            rich_help_panel=_CHOICES,
        ),
    ] = None,
    content_metric: Annotated[
        Metric, typer.Option("--content-metric", help="What decides there.", rich_help_panel=_CHOICES)
    ] = PAPER_METRICS[Group.CONTENT],
    quality_metric: Annotated[
        Metric, typer.Option("--quality-metric", help="What decides there.", rich_help_panel=_CHOICES)
    ] = PAPER_METRICS[Group.QUALITY],
    objective: Annotated[
        Objective,
        typer.Option(
            "--objective",
            help="scores: their sum, as in the paper; noise: the power that is lost, which adds up.",
            rich_help_panel=_CHOICES,
        ),
    ] = Objective.SCORES,
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
    resolution: _Resolution = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="random, perturbed, sorted, uniform or sqnr, in the same budgets."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of a random baseline.")] = 0,
    sweep: Annotated[
        int | None,
        typer.Option("--sweep", help="A grid of N by N budgets, as CSV.", rich_help_panel=_SWEEP),
    ] = None,
    sweep_ratios: Annotated[
        str | None,
        typer.Option(
            "--sweep-ratios",
            help="Splits of --weight-bits and --activation-bits, from:to:count, as CSV.",
            rich_help_panel=_SWEEP,
        ),
    ] = None,
    limit_s: Annotated[float, typer.Option("--limit-s", help="Seconds for each programme.", min=0.1)] = 60.0,
    mixdq: Annotated[
        Path | None, typer.Option("--mixdq", help="Also write MixDQ's bit maps into this folder.")
    ] = None,
    no_bos_aware: o.NoBosAware = False,
    no_split_shortcuts: o.NoSplit = False,
) -> None:
    """Choose every layer's bits within budgets: the paper's four programmes, or one; proven optimal."""
    from mixdq.compiler.allocate.joint import JointBudgets
    from mixdq.compiler.allocate.on_target import realized, solve, totals_in_words, with_menu
    from mixdq.compiler.allocate.opening import open_subject
    from mixdq.compiler.allocate.request import Request, write_mixdq
    from mixdq.compiler.allocate.words import parse_budgets, parse_memory

    rules = _rules(target, block, unwritten, baseline, sweep, sweep_ratios)
    table = layers_of(model)
    metrics = {Group.CONTENT: content_metric, Group.QUALITY: quality_metric}
    subject = open_subject(
        table,
        sensitivity,
        widths or (),
        metrics,
        protected or protect_share,
        _resolution(table, resolution),
        objective,
    )
    if rules is not None:
        subject = with_menu(subject, rules, split_shortcuts=not no_split_shortcuts)
    request = Request(
        budgets=JointBudgets(
            weight_bits,
            activation_bits,
            memory_gib=None if memory is None else parse_memory(memory),
            latency_ms=latency_ms,
        ),
        ratios={Operand.WEIGHT: ratio, Operand.ACTIVATION: activation_ratio},
        direct=parse_budgets(budget or []),
        joint=joint or latency_ms is not None or rules is not None,
        times=_times(latency, latency_ms, subject, "cpu" if rules is None else rules.times_target),
        limit_s=limit_s,
    )
    if sweep is not None or sweep_ratios is not None:
        _sweep(subject, request, sweep, sweep_ratios, out)
        return
    if rules is not None:
        answer = solve(request, subject, rules)
    elif baseline is None:
        answer = request.solve(subject)
    else:
        answer = request.baseline(subject, _baseline(baseline), seed)
    console = stdout_console()
    for part in answer.in_words():
        console.print(part, soft_wrap=isinstance(part, str), highlight=False)
    plan = answer.allocation.plan(bos_aware=not no_bos_aware, split_shortcuts=not no_split_shortcuts)
    plan.check(table)
    if rules is not None:
        plan = realized(plan, subject)
        for part in totals_in_words(plan, subject, rules):
            console.print(part, soft_wrap=isinstance(part, str), highlight=False)
    plan.write(out)
    files = write_mixdq(mixdq, plan, answer.allocation) if mixdq is not None else ()
    print(f"protected: {', '.join(sorted(subject.protected)) or 'none'}")
    for path in (out, *files):
        print(f"written: {path}")


@allocation.command()
def bitmaps(
    model: _ModelOrLayers,
    files: Annotated[
        list[Path], typer.Argument(help="MixDQ's bit maps, and folders of them.", show_default=False)
    ],
    resolution: _Resolution = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Of one map of weights and one of activations: the plan.yaml to write."),
    ] = None,
    no_bos_aware: o.NoBosAware = False,
    no_split_shortcuts: o.NoSplit = False,
) -> None:
    """Check MixDQ's bit maps: the mean bits that they hold and claim, copies; make a plan of a pair."""
    from mixdq.compiler.bitmap_report import BitmapReport

    table = layers_of(model)
    report = BitmapReport.read(files, table, _resolution(table, resolution))
    console = stdout_console()
    for part in report.in_words():
        console.print(part, soft_wrap=isinstance(part, str), highlight=False)
    if out is not None:
        plan = report.plan(bos_aware=not no_bos_aware, split_shortcuts=not no_split_shortcuts)
        plan.write(out)
        print(f"written: {out}")


def _resolution(table: LayerTable, given: int | None) -> int:
    return smallest_resolution(table) if given is None else given


def _rules(target: str | None, block: int | None, unwritten: bool, *others: object) -> Rules | None:
    """What a target lets choose; `others` are the options that choose any widths."""
    from mixdq.compiler.legal.choices import Rules

    if target is None:
        if block is not None or unwritten:
            raise PlanError(
                "--block and --unwritten are about what a target runs; give --target, as rtx:sm89"
            )
        return None
    if any(other is not None for other in others):
        raise PlanError(
            "--target chooses among what it runs, in one programme, and --baseline, --sweep and "
            "--sweep-ratios spend the budgets of the four programmes; leave them out, or --target"
        )
    return Rules(find_capability(target), block, unwritten)


def _times(latency: Path | None, budget_ms: float | None, subject: Subject, target: str) -> LayerTimes | None:
    from mixdq.compiler.allocate.layer_times import LayerTimes

    if (latency is None) != (budget_ms is None):
        raise PlanError("--latency-ms is a budget of the times in --latency; give both or neither")
    if latency is None:
        return None
    return LayerTimes.of(
        LatencyTable.read(latency), subject.table, target=target, resolution=subject.resolution
    )


def _baseline(text: str) -> Baseline:
    from mixdq.compiler.allocate.baselines import Baseline

    try:
        return Baseline(text)
    except ValueError as error:
        raise PlanError(f"{text!r} is no baseline; use one of {', '.join(Baseline)}") from error


def _sweep(subject: Subject, request: Request, count: int | None, ratios: str | None, out: Path) -> None:
    from mixdq.compiler.allocate.sweep import grid, ratio_sweep, write_points
    from mixdq.compiler.allocate.words import parse_ratios

    if (count is None) == (ratios is None):
        raise PlanError("--sweep is a grid of budgets, --sweep-ratios splits one; give one of them")
    points: list[Point] = []
    with Console(stderr=True).status("") as status:
        for operand in Operand:

            def watch(done: int, total: int, operand: Operand = operand) -> None:
                status.update(f"{operand}s: {done + 1} of {total} programmes")

            mean = request.mean(subject, operand)
            if count is not None:
                points += grid(subject, operand, count, watch, limit_s=request.limit_s)
            elif mean is not None and ratios is not None:
                points += ratio_sweep(
                    subject, operand, mean, parse_ratios(ratios), watch, limit_s=request.limit_s
                )
    if not points:
        raise PlanError("--sweep-ratios splits a mean; give --weight-bits, --activation-bits or both")
    write_points(out, points)
    feasible, best = sum(point.feasible for point in points), sum(point.on_frontier for point in points)
    proven = sum(point.proven for point in points)
    print(f"{out}: {len(points)} points, {feasible} feasible, {proven} proven optimal, {best} on a frontier")
