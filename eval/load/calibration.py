"""A latency table of a server's own pictures: what they take of its worker while it is kept busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mixdq.configs.bundle import Bundle
from mixdq.configs.files import sha256_of_text
from mixdq.configs.latency_table import WHOLE, LatencyRow, LatencyTable
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.eval.load.http import Server
from mixdq.eval.load.occupancy import occupancies
from mixdq.eval.load.run import run_schedule
from mixdq.eval.load.schedule import Wish, make_schedule, warm_up
from mixdq.runtime.simulate.calls import Clients

_CLIENTS = 2
"""So that the next picture always waits."""
_PATIENT_S = 600.0
"""An objective that refuses no one."""
_WARMUP = 5


def measure_table(
    server: Server,
    folder: Path,
    target: str,
    prompts: Sequence[str],
    pictures: int,
    watch: Callable[[str], None],
) -> LatencyTable:
    """Measures every resolution of a bundle that is served, one after another.

    Args:
        server: which serves it with one worker.
        folder: of the bundle.
        target: of its engines.
        prompts: taken in turns.
        pictures: of each resolution.
        watch: is told what is measured now.

    Raises:
        EvaluationError: the server makes no picture, or doesn't tell what it took.
    """
    bundle = Bundle.read(folder)
    rows = []
    for resolution in bundle.resolutions:
        watch(f"{resolution} pixels, {pictures} pictures one after another")
        wish = Wish(tuple(prompts), resolution, _PATIENT_S)
        run = run_schedule(
            make_schedule(Clients(_CLIENTS), pictures, 0, wish), server, warm_up(_WARMUP, wish)
        )
        rows.append(
            _row(bundle, folder, target, resolution, [1e6 * one.seconds for one in occupancies(run.samples)])
        )
    return LatencyTable(tuple(rows), describe_machine(), installed_versions("mixdq", "onnxruntime"))


def _row(bundle: Bundle, folder: Path, target: str, resolution: int, times_us: Sequence[float]) -> LatencyRow:
    low, median, high, p95 = map(float, np.percentile(times_us, (25, 50, 75, 95)))
    return LatencyRow(
        name=WHOLE,
        kind="stage",
        precision=bundle.plan_summary,
        plan_digest=bundle.plan_digest,
        target=target,
        device="cpu",
        resolution=resolution,
        batch=1,
        median_us=median,
        lower_quartile_us=low,
        upper_quartile_us=high,
        p95_us=p95,
        runs=len(times_us),
        processes=1,
        lowest_process_us=median,
        highest_process_us=median,
        source=str(folder),
        model=bundle.model.name,
        steps=1,
        clock="wall",
        run_digest=sha256_of_text(f"load {resolution} {_CLIENTS} {_WARMUP} {len(times_us)}"),
    )
