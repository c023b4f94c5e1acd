"""`mixdq-serve simulate`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixdq.configs.arrivals import Arrivals
from mixdq.configs.console import stdout_console

if TYPE_CHECKING:
    from mixdq.runtime.policy.words import Tuning
    from mixdq.runtime.simulate.simulator import Setup

app = typer.Typer()

_TIMES = "What is served"
_ARRIVALS = "Arrivals"
_POLICY = "Policies"
_MIB = 1 << 20


@app.command()
def simulate(
    objective_ms: Annotated[
        float, typer.Option(min=1.0, help="From arrival to picture: when a request is due.")
    ],
    service_ms: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PIXELS=MS", help="Time of one picture, once a resolution.", rich_help_panel=_TIMES
        ),
    ] = None,
    noise: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Standard deviation of --service-ms, as a share of it.",
            rich_help_panel=_TIMES,
        ),
    ] = 0.0,
    utility: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PIXELS=U", help="What a picture is worth, once a resolution.", rich_help_panel=_TIMES
        ),
    ] = None,
    latency: Annotated[
        Path | None,
        typer.Option(
            help="Times, batches and noise from `mixdq-eval latency` instead.", rich_help_panel=_TIMES
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Which of the table's sources.", rich_help_panel=_TIMES)
    ] = None,
    plan_digest: Annotated[
        str | None, typer.Option(help="Which of the tables' plans.", rich_help_panel=_TIMES)
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Which of the table's targets.", rich_help_panel=_TIMES)
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Which of the table's devices.", rich_help_panel=_TIMES)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Which number of denoising steps.", rich_help_panel=_TIMES)
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="Which of the table's stages a worker does; may be repeated. picture, which is all, if not "
            "given.",
            rich_help_panel=_TIMES,
        ),
    ] = None,
    quality: Annotated[
        list[Path] | None,
        typer.Option(
            help="Utilities from `mixdq-eval quality` instead: a table a resolution.", rich_help_panel=_TIMES
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Which score of --quality; over the best of them it is the utility.", rich_help_panel=_TIMES
        ),
    ] = None,
    switch_ms: Annotated[
        float, typer.Option(min=0.0, help="Lost when a GPU changes its resolution.", rich_help_panel=_TIMES)
    ] = 0.0,
    slowdown: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=10.0,
            help="How many times longer everything takes than these figures say, unknown to the policies.",
            rich_help_panel=_TIMES,
        ),
    ] = 1.0,
    workers: Annotated[int, typer.Option(min=1, help="GPUs.", rich_help_panel=_TIMES)] = 1,
    arrivals: Annotated[Arrivals, typer.Option(rich_help_panel=_ARRIVALS)] = Arrivals.POISSON,
    rate: Annotated[
        list[float] | None,
        typer.Option(help="Requests a second, on average; may be repeated.", rich_help_panel=_ARRIVALS),
    ] = None,
    variation: Annotated[
        float,
        typer.Option(
            help="gamma: standard deviation of the gaps over their mean.", rich_help_panel=_ARRIVALS
        ),
    ] = 2.0,
    peak_height: Annotated[
        float, typer.Option(help="mmpp: rate in a peak over the mean.", rich_help_panel=_ARRIVALS)
    ] = 3.0,
    peak_share: Annotated[
        float, typer.Option(help="mmpp: share of the time in peaks.", rich_help_panel=_ARRIVALS)
    ] = 0.1,
    peak_s: Annotated[
        float, typer.Option(help="mmpp: mean length of a peak.", rich_help_panel=_ARRIVALS)
    ] = 10.0,
    concurrency: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="burst: clients, each of which waits for its answer; may be repeated.",
            rich_help_panel=_ARRIVALS,
        ),
    ] = None,
    trace: Annotated[
        list[Path] | None,
        typer.Option(
            help="trace: CSV with arrival_s and, if known, size, objective_ms, priority; may be repeated.",
            rich_help_panel=_ARRIVALS,
        ),
    ] = None,
    requests: Annotated[int, typer.Option(min=1, help="Of each simulation.")] = 20000,
    seed: Annotated[
        int,
        typer.Option(min=0, envvar="MIXDQ_LOADTEST_SEED", help="The same seed gives the same bytes."),
    ] = 0,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="deadline, thresholds, static:PIXELS, or objective (static at the highest resolution whose "
            "95th percentile is within the objective); may be repeated. deadline if not given.",
            rich_help_panel=_POLICY,
        ),
    ] = None,
    threshold: Annotated[
        list[int] | None,
        typer.Option(
            help="thresholds: up to so many waiting the best, then the next; one fewer than resolutions, "
            "ascending. 2 and 5 if not given.",
            rich_help_panel=_POLICY,
        ),
    ] = None,
    hysteresis: Annotated[
        int,
        typer.Option(
            min=0,
            help="thresholds: how many fewer must wait before it gets better again.",
            rich_help_panel=_POLICY,
        ),
    ] = 1,
    refusal_cost: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="deadline: what a refused request costs beside its lost picture, in utilities.",
            rich_help_panel=_POLICY,
        ),
    ] = 2.0,
    late_risk: Annotated[
        float,
        typer.Option(
            help="deadline: chance of being late that the last one accepted may have.",
            rich_help_panel=_POLICY,
        ),
    ] = 0.001,
    switch_share: Annotated[
        float,
        typer.Option(
            help="deadline: share of the time that changes of resolution may take.", rich_help_panel=_POLICY
        ),
    ] = 0.05,
    rate_memory_s: Annotated[
        float | None,
        typer.Option(
            help="After so long an arrival counts 1/e in the estimate of the rate. Five times the objective "
            "if not given.",
            rich_help_panel=_POLICY,
        ),
    ] = None,
    queue_count: Annotated[
        int, typer.Option(min=1, help="Requests that may wait.", rich_help_panel=_POLICY)
    ] = 1000,
    csv: Annotated[Path | None, typer.Option(help="Also write the rows.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write rows and settings.")] = None,
) -> None:
    """Simulate the server's queue and policies under load, in discrete events.

    Latencies from arrival to picture, share in time, utility and resolutions, a line a policy and pattern.
    """
    from mixdq.configs.latency_table import WHOLE
    from mixdq.runtime.policy.measured import Measurements
    from mixdq.runtime.policy.queue import QueueLimits
    from mixdq.runtime.policy.words import Tuning, parse_policy
    from mixdq.runtime.simulate.experiment import run_experiment
    from mixdq.runtime.simulate.results import results_view
    from mixdq.runtime.simulate.simulator import Setup
    from mixdq.runtime.simulate.words import Arriving, Served

    wanted = Measurements(source, plan_digest, target, device, steps, tuple(dict.fromkeys(part or (WHOLE,))))
    served = Served(
        tuple(service_ms or ()), noise, tuple(utility or ()), latency, wanted, tuple(quality or ()), metric
    )
    menu = served.menu()
    patterns = Arriving(
        arrivals,
        tuple(dict.fromkeys(rate or ())),
        variation,
        peak_height,
        peak_share,
        peak_s,
        tuple(dict.fromkeys(concurrency or ())),
        tuple(dict.fromkeys(trace or ())),
    ).patterns()
    memory_s = 5 * objective_ms / 1e3 if rate_memory_s is None else rate_memory_s
    limits = QueueLimits(queue_count, queue_count * _MIB)
    setup = Setup(
        menu, workers, objective_ms / 1e3, switch_ms / 1e3, limits, memory_s, slowdown, requests, seed
    )
    tuning = Tuning(tuple(threshold or (2, 5)), hysteresis, refusal_cost, late_risk, switch_share)
    words = dict.fromkeys(policy or ("deadline",))
    policies = [parse_policy(word, menu, setup.objective_s, workers, tuning) for word in words]
    settings = _settings(setup, tuning, words)
    console = stdout_console()
    with console.status("") as status:

        def watch(done: int, total: int) -> None:
            status.update(f"simulation {done + 1} of {total}")

        results = run_experiment(setup, policies, patterns, settings, watch)
    console.print(results_view(results))
    for line in results.dominated:
        console.print(line, highlight=False, soft_wrap=True)
    if csv is not None:
        results.write_csv(csv)
    if json is not None:
        results.write_json(json)
    for file in (csv, json):
        if file is not None:
            console.print(f"figures: {file}", highlight=False, soft_wrap=True)


def _settings(setup: Setup, tuning: Tuning, words: Iterable[str]) -> dict[str, str]:
    """What the figures depend on, for people."""
    points = sorted(setup.menu.points, key=lambda point: point.resolution)
    settings = {
        "ms": ", ".join(f"{point.resolution}: {1e3 * point.typical_s[0]:.1f}" for point in points),
        "spread": ", ".join(
            f"{100 * math.sqrt(point.variance_s2[0]) / point.typical_s[0]:.1f} %" for point in points
        ),
        "utility": ", ".join(f"{point.resolution}: {point.utility:.3g}" for point in points),
        "batch": ", ".join(f"{point.max_batch}" for point in points),
        "GPUs": str(setup.workers),
        "slowdown": f"{setup.slowdown:g}",
        "objective": f"{1e3 * setup.objective_s:g} ms",
        "requests": str(setup.requests),
        "seed": str(setup.seed),
        "queue": str(setup.limits.count),
        "change of resolution": f"{1e3 * setup.switch_s:g} ms",
    }
    if "thresholds" in words:
        settings["thresholds"] = f"{', '.join(map(str, tuning.bounds))}, hysteresis {tuning.hysteresis}"
    if "deadline" in words:
        settings["deadline"] = (
            f"refusal cost {tuning.refusal_cost:g}, late risk {tuning.late_risk:g}, changes at most "
            f"{tuning.switch_share:g} of the time, rate over {setup.rate_memory_s:g} s"
        )
    return settings
