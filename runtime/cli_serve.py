"""`mixdq-serve DIR`."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.errors import MachineError

app = typer.Typer()

_SERVED = "What is served"
_POLICY = "Policy and queue"
_HTTP = "HTTP"
_MIB = 1 << 20
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class LogLevel(StrEnum):
    """What the log leaves out."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@app.command()
def serve(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A bundle, which `mixdq-compile run` made.", show_default=False),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            help="Which of its engines; may be left out if it has one target.", rich_help_panel=_SERVED
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Where ONNX Runtime computes, cpu or cuda.", rich_help_panel=_SERVED)
    ] = "cpu",
    workers: Annotated[
        int, typer.Option(min=1, help="Processes with engines: one a GPU.", rich_help_panel=_SERVED)
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Of one engine on the CPU; one a physical core if not given.", rich_help_panel=_SERVED
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(min=1, help="Denoising steps of every picture.", rich_help_panel=_SERVED)
    ] = 1,
    latency: Annotated[
        Path | None,
        typer.Option(
            help="Times of pictures and batches from `mixdq-eval latency`; what the workers measure when "
            "they start, if not given.",
            rich_help_panel=_SERVED,
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Which of the table's sources.", rich_help_panel=_SERVED)
    ] = None,
    utility: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PIXELS=U", help="What a picture is worth, once a resolution.", rich_help_panel=_SERVED
        ),
    ] = None,
    quality: Annotated[
        list[Path] | None,
        typer.Option(
            help="Utilities from `mixdq-eval quality` instead: a table a resolution.", rich_help_panel=_SERVED
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Which score of --quality; over the best of them it is the utility.", rich_help_panel=_SERVED
        ),
    ] = None,
    null_engine: Annotated[
        bool,
        typer.Option(
            "--null-engine",
            help="Grey pictures at once, without workers: to measure the server alone.",
            rich_help_panel=_SERVED,
        ),
    ] = False,
    objective_ms: Annotated[
        float,
        typer.Option(
            min=1.0,
            help="From arrival to picture: when a request is due that doesn't say so itself.",
            rich_help_panel=_POLICY,
        ),
    ] = 1000.0,
    policy: Annotated[
        str | None,
        typer.Option(
            help="deadline, thresholds, static:PIXELS, or objective (the highest resolution whose 95th "
            "percentile is within the objective). deadline if utilities are given, else objective.",
            rich_help_panel=_POLICY,
        ),
    ] = None,
    threshold: Annotated[
        list[int] | None,
        typer.Option(
            help="thresholds: up to so many waiting the best, then the next. 2 and 5 if not given.",
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
    switch_ms: Annotated[
        float,
        typer.Option(min=0.0, help="Lost when a worker changes its resolution.", rich_help_panel=_POLICY),
    ] = 0.0,
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
    queue_mib: Annotated[
        int, typer.Option(min=1, help="Memory that they may hold.", rich_help_panel=_POLICY)
    ] = 64,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; others than this machine's own need a key.", rich_help_panel=_HTTP
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0 for any that is free.", rich_help_panel=_HTTP)
    ] = 8000,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help="Keys, one a line, of which clients must send one. MIXDQ_API_KEYS may hold more, with "
            "commas.",
            rich_help_panel=_HTTP,
        ),
    ] = None,
    no_key: Annotated[
        bool,
        typer.Option("--no-key", help="Listen to other machines without a key.", rich_help_panel=_HTTP),
    ] = False,
    most_pictures: Annotated[
        int, typer.Option(min=1, max=10, help="Of one request.", rich_help_panel=_HTTP)
    ] = 10,
    most_prompt: Annotated[
        int, typer.Option(min=1, help="Characters of a prompt.", rich_help_panel=_HTTP)
    ] = 4000,
    most_body_kib: Annotated[
        int, typer.Option(min=1, help="Of a request's body.", rich_help_panel=_HTTP)
    ] = 64,
    most_connections: Annotated[
        int, typer.Option(min=1, help="Open at the same time.", rich_help_panel=_HTTP)
    ] = 2000,
    request_s: Annotated[
        float,
        typer.Option(min=0.1, help="A request is given up after this time.", rich_help_panel=_HTTP),
    ] = 120.0,
    drain_s: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="After SIGTERM, to finish what was accepted; a second one stops at once.",
            rich_help_panel=_HTTP,
        ),
    ] = 30.0,
    log_level: Annotated[LogLevel, typer.Option(rich_help_panel=_HTTP)] = LogLevel.INFO,
    log_prompts: Annotated[
        bool, typer.Option("--log-prompts", help="Also write prompts into the log.", rich_help_panel=_HTTP)
    ] = False,
) -> None:
    """Serve a bundle's pictures over HTTP: OpenAI's images API, and a page at /.

    SIGTERM ends it once what was accepted is made; SIGHUP loads the folder's bundle again beside the old one.
    """
    from mixdq.configs.bundle import Bundle
    from mixdq.configs.latency_table import WHOLE
    from mixdq.runtime.onnx_engine import OnnxDevice
    from mixdq.runtime.policy.measured import Measurements
    from mixdq.runtime.policy.queue import QueueLimits
    from mixdq.runtime.policy.words import Tuning
    from mixdq.runtime.server.auth import read_keys
    from mixdq.runtime.server.connections import ConnectionLimits
    from mixdq.runtime.server.engines import Engines
    from mixdq.runtime.server.listening import Listening
    from mixdq.runtime.server.offer import Offer
    from mixdq.runtime.server.running import run_server
    from mixdq.runtime.server.settings import HttpSettings

    keys = read_keys(api_key_file, os.environ)
    if host not in _LOOPBACK and not keys and not no_key:
        raise MachineError(
            f"{host} can be reached from other machines, and no API key is set: pass --api-key-file or "
            "MIXDQ_API_KEYS, or --no-key if everyone may ask"
        )
    objective_s = objective_ms / 1e3
    engines = Engines(folder, target, OnnxDevice.parse(device), threads, steps, null_engine)
    served = engines.target_of(Bundle.read(folder))
    offer = Offer(
        latency=latency,
        wanted=Measurements(source, None, served, device, steps, (WHOLE,)),
        utility=tuple(utility or ()),
        quality=tuple(quality or ()),
        metric=metric,
        policy=policy,
        tuning=Tuning(tuple(threshold or (2, 5)), hysteresis, refusal_cost, late_risk, switch_share),
        objective_s=objective_s,
        workers=workers,
        limits=QueueLimits(queue_count, queue_mib * _MIB),
        switch_s=switch_ms / 1e3,
        rate_memory_s=5 * objective_s if rate_memory_s is None else rate_memory_s,
        steps=steps,
    )
    settings = HttpSettings(
        keys=keys,
        body_bytes=most_body_kib << 10,
        body_s=10.0,
        prompt_characters=most_prompt,
        most_pictures=most_pictures,
        request_s=request_s,
        steps=steps,
        log_prompts=log_prompts,
        target="null engine" if null_engine else served,
        has_utilities=offer.has_utilities,
    )
    connections = ConnectionLimits(most_connections, head_s=10.0, head_bytes=32 << 10, unread_s=30.0)
    run_server(engines, offer, settings, Listening(host, port, connections, drain_s), log_level)
