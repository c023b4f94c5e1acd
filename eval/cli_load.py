"""`mixdq-eval`: the commands that put a server under load."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.arrivals import Arrivals
from mixdq.configs.console import stdout_console

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
        console.print(line, highlight=False, soft_wrap=True)
    if csv is not None:
        write_samples(csv, [(run.schedule.title, run.samples) for run in runs])
    if json is not None:
        report.write(json)
    for file in (csv, json):
        if file is not None:
            console.print(f"figures: {file}", highlight=False, soft_wrap=True)
    if report.invalid:
        raise typer.Exit(1)


@app.command("load-matrix")
def load_matrix(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE", help="Folders; 12 rows of each.")],
    base: Annotated[Path, typer.Option(help="queue_tests/TIME is made in it, with table, text and plots.")],
    utility: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PIXELS=U", help="What a picture is worth, once a resolution: deadline needs it."
        ),
    ] = None,
    objective_ms: Annotated[float, typer.Option(min=1.0, help="From arrival to picture.")] = 1000.0,
    static: Annotated[
        int | None, typer.Option(min=1, help="Pixels of the static policy; a bundle's most if not given.")
    ] = None,
    adaptive: Annotated[str, typer.Option(help="The adaptive policy: deadline or thresholds.")] = "deadline",
    serve: Annotated[
        str, typer.Option(metavar="WORDS", help='Further options of mixdq-serve, such as "--threads 1".')
    ] = "",
    requests: _Requests = 100,
    seed: _Seed = 0,
    prompts: _Prompts = None,
    warmup: _Warmup = 3,
    max_lag_ms: _MaxLag = 10.0,
) -> None:
    """Measure the earlier experiment's matrix: bursts of 1 and 2, Poisson 0.5 to 4 a second, two policies.

    Starts a server for each bundle and policy. Writes mixdq_queue_results.csv and .txt, and nine plots.
    """
    from datetime import UTC, datetime

    from mixdq.eval.load.matrix import RESULTS, read_cells
    from mixdq.eval.load.matrix_plot import write_plots
    from mixdq.eval.load.queue_tests import FOLDER, Matrix, measure_matrix
    from mixdq.eval.load.words import prompts_from

    folder = base / FOLDER / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    words = [word for pair in utility or () for word in ("--utility", pair)]
    matrix = Matrix(
        bundles=tuple(bundles),
        serve=("--objective-ms", f"{objective_ms:g}", *words, *shlex.split(serve)),
        static_pixels=static,
        adaptive=adaptive,
        requests=requests,
        seed=seed,
        prompts=prompts_from(prompts),
        warmup=warmup,
        max_lag_ms=max_lag_ms,
    )
    console = stdout_console()
    with console.status("") as status:
        measured = measure_matrix(matrix, folder, status.update)
    measured.write(folder, matrix.settings)
    for line in (*measured.lines, *measured.invalid):
        console.print(line, highlight=False, soft_wrap=True)
    write_plots(read_cells(folder / f"{RESULTS}.csv"), folder)
    console.print(f"table, text and plots: {folder}", highlight=False, soft_wrap=True)
    if measured.invalid:
        raise typer.Exit(1)


@app.command("load-plots")
def load_plots(
    table: Annotated[Path, typer.Argument(metavar="CSV", help="mixdq_queue_results.csv.")],
    out: Annotated[
        Path | None, typer.Option(help="The folder of the plots; the table's if not given.")
    ] = None,
) -> None:
    """Draw the nine plots of a load matrix."""
    from mixdq.eval.load.matrix import read_cells
    from mixdq.eval.load.matrix_plot import write_plots

    for path in write_plots(read_cells(table), out or table.parent):
        stdout_console().print(str(path), highlight=False, soft_wrap=True)


@app.command("load-replay")
def load_replay(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, of batch 1.")],
    out: Annotated[Path, typer.Option(help="The folder for the figures, the samples and the server's log.")],
    utility: Annotated[
        list[str],
        typer.Option(metavar="PIXELS=U", help="What a picture is worth, once a resolution."),
    ],
    policy: Annotated[
        str, typer.Option(help="deadline, thresholds, objective or static:PIXELS.")
    ] = "deadline",
    objective_ms: Annotated[float, typer.Option(min=1.0, help="From arrival to picture.")] = 1000.0,
    at_load: Annotated[
        list[float] | None,
        typer.Option(
            help="Poisson arrivals at so much of what the policy's fastest resolution can serve; may be "
            "repeated. 0.5 and 0.9 if neither this nor --concurrency is given."
        ),
    ] = None,
    concurrency: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Clients that wait for their answers; may be repeated. 2 if not given."),
    ] = None,
    calibration: Annotated[
        int, typer.Option(min=5, help="Pictures of each resolution for the table of times.")
    ] = 40,
    target: Annotated[str, typer.Option(help="Which of the bundle's engines.")] = "cpu",
    serve: Annotated[
        str, typer.Option(metavar="WORDS", help='Further options of mixdq-serve, such as "--threads 1".')
    ] = "",
    within: Annotated[float, typer.Option(min=0.0, help="How far figures may be apart.")] = 0.05,
    requests: _Requests = 400,
    seed: _Seed = 0,
    prompts: _Prompts = None,
    max_lag_ms: _MaxLag = 10.0,
) -> None:
    """Compare a server with its simulation: the same arrivals, rules and service times.

    Starts a server and measures what each resolution takes; starts it again with those times, sends the
    arrivals, and simulates them. Exit code 1 if a figure of the server is too far from the simulated one.
    """
    from mixdq.eval.load.replay_report import replay_view
    from mixdq.eval.load.replay_run import Replayed, measure_replay
    from mixdq.eval.load.words import prompts_from
    from mixdq.runtime.simulate.words import parse_by_resolution

    given = bool(at_load or concurrency)
    wanted = Replayed(
        bundle=bundle,
        target=target,
        policy=policy,
        objective_s=objective_ms / 1e3,
        utilities=parse_by_resolution(utility, "--utility"),
        loads=tuple(at_load or (() if given else (0.5, 0.9))),
        clients=tuple(concurrency or (() if given else (2,))),
        serve=tuple(shlex.split(serve)),
        calibration=calibration,
        requests=requests,
        seed=seed,
        prompts=prompts_from(prompts),
        within=within,
        max_lag_ms=max_lag_ms,
    )
    console = stdout_console()
    with console.status("") as status:
        report = measure_replay(wanted, out, status.update)
    report.write(out / "replay.json")
    console.print(replay_view(report))
    for line in (*report.far(), *report.invalid):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"figures: {out / 'replay.json'}", highlight=False, soft_wrap=True)
    if not report.passed:
        raise typer.Exit(1)


@app.command("load-overload")
def load_overload(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    out: Annotated[Path, typer.Option(help="The folder for the figures, the samples and the server's log.")],
    utility: Annotated[
        list[str],
        typer.Option(metavar="PIXELS=U", help="What a picture is worth, once a resolution."),
    ],
    objective_ms: Annotated[float, typer.Option(min=1.0, help="From arrival to picture.")] = 1000.0,
    factor: Annotated[
        float, typer.Option(min=1.0, help="Arrivals over what the fastest resolution can serve.")
    ] = 10.0,
    seconds: Annotated[float, typer.Option(min=1.0, help="How long.")] = 60.0,
    serve: Annotated[
        str, typer.Option(metavar="WORDS", help='Further options of mixdq-serve, such as "--threads 1".')
    ] = "",
    least_done: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of those accepted who have to be done in time.")
    ] = 0.99,
    most_growth_mib: Annotated[
        float, typer.Option(min=0.0, help="Of the memory of the server's processes.")
    ] = 256.0,
    seed: _Seed = 0,
    prompts: _Prompts = None,
    max_lag_ms: _MaxLag = 10.0,
) -> None:
    """Send a server far too many requests for a while: who is accepted, its memory, how it recovers.

    Starts a server with the deadline policy. Exit code 1 if too few of those accepted are done in time, if
    two objectives after it not everyone is, or if the server's memory grows too much.
    """
    from mixdq.eval.load.surge_run import Overload, measure_overload
    from mixdq.eval.load.words import prompts_from

    words = [word for pair in utility for word in ("--utility", pair)]
    wanted = Overload(
        bundle=bundle,
        serve=("--policy", "deadline", "--objective-ms", f"{objective_ms:g}", *words, *shlex.split(serve)),
        factor=factor,
        surge_s=seconds,
        least_done_share=least_done,
        most_growth_mib=most_growth_mib,
        seed=seed,
        prompts=prompts_from(prompts),
        max_lag_ms=max_lag_ms,
    )
    console = stdout_console()
    with console.status("") as status:
        report = measure_overload(wanted, out, status.update)
    report.write(out / "overload.json")
    failures = list(report.failures())
    for line in (*report.lines(), *failures, f"figures: {out / 'overload.json'}"):
        console.print(line, highlight=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)
