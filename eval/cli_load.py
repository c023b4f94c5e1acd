"""`mixdq-eval`: the commands that put a server under load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.console import stdout_console
from mixdq.runtime.cli_simulate import Arrivals

app = typer.Typer()

_ARRIVALS = "Arrivals"
_ASKED = "What is asked for"

_Seed = Annotated[
    int,
    typer.Option(
        min=0, envvar="MIXDQ_LOADTEST_SEED", help="The same seed gives the same arrivals, the simulator's."
    ),
]
_Requests = Annotated[int, typer.Option(min=1, help="Of each pattern.")]
_Prompts = Annotated[
    Path | None,
    typer.Option(
        help="One a line, taken in turns; a list that comes with mixdq if not given.", rich_help_panel=_ASKED
    ),
]
_Warmup = Annotated[int, typer.Option(min=0, help="Requests that are sent before and not counted.")]
_MaxLag = Annotated[
    float,
    typer.Option(
        min=0.0,
        help="How late 99 of 100 requests may be sent; later, and the run is invalid and the exit code 1.",
    ),
]
_Timeout = Annotated[float, typer.Option(min=0.1, help="After so long without an answer: an error.")]
_KeyFile = Annotated[
    Path | None, typer.Option(help="A file whose first line is the key that the server wants.")
]


@app.command()
def load(
    url: Annotated[str, typer.Argument(help="The server, such as http://127.0.0.1:8000.")],
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
    requests: _Requests = 100,
    seed: _Seed = 0,
    size: Annotated[
        str, typer.Option(metavar="auto|PIXELS", help="Of the pictures.", rich_help_panel=_ASKED)
    ] = "auto",
    slo_ms: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            help="The objective that is asked for. The server's if not given.",
            rich_help_panel=_ASKED,
        ),
    ] = None,
    prompts: _Prompts = None,
    warmup: _Warmup = 3,
    max_lag_ms: _MaxLag = 10.0,
    timeout_s: _Timeout = 120.0,
    api_key_file: _KeyFile = None,
    pid: Annotated[
        int | None, typer.Option(min=1, help="The server's process here: its memory is watched.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write a line a request.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write figures and settings.")] = None,
) -> None:
    """Put a server under load: open loop, latencies from when each request was to be sent.

    All requests are drawn before the first is sent. How late the client sent them is measured, too: if that
    is too much the run is invalid, and the exit code 1.
    """
    from mixdq.eval.load.http import Server
    from mixdq.eval.load.report import load_lines, load_view, make_report
    from mixdq.eval.load.run import run_schedule
    from mixdq.eval.load.sample import write_samples
    from mixdq.eval.load.schedule import Wish, make_schedule, warm_up
    from mixdq.eval.load.summary import summarize
    from mixdq.eval.load.words import parse_size, prompts_from, read_key
    from mixdq.runtime.simulate.words import Arriving

    peak = (peak_height, peak_share, peak_s)
    rates, clients = tuple(dict.fromkeys(rate or ())), tuple(dict.fromkeys(concurrency or ()))
    traces = tuple(dict.fromkeys(trace or ()))
    patterns = Arriving(arrivals, rates, variation, *peak, clients, traces).patterns()
    objective_s = None if slo_ms is None else slo_ms / 1e3
    wish = Wish(prompts_from(prompts), parse_size(size), objective_s)
    schedules = [make_schedule(pattern, requests, seed, wish) for pattern in patterns]
    server = Server(url, read_key(api_key_file), timeout_s)
    console = stdout_console()
    runs = []
    with console.status("") as status:
        for schedule in schedules:
            status.update(f"{schedule.title}: {len(schedule.planned)} requests")
            runs.append(run_schedule(schedule, server, warm_up(warmup, wish), pid=pid))
    rows = [summarize(run) for run in runs]
    settings = {"server": url, "size": size, "seed": str(seed), "warm-up": str(warmup)}
    report = make_report(settings, rows, runs, max_lag_ms)
    console.print(load_view(report))
    for line in load_lines(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if csv is not None:
        write_samples(csv, {run.schedule.title: run.samples for run in runs})
    if json is not None:
        report.write(json)
    for file in (csv, json):
        if file is not None:
            console.print(f"figures: {file}", highlight=False, soft_wrap=True)
    if report.invalid:
        raise typer.Exit(1)
