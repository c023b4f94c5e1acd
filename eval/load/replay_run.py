"""A replay measured: a server of one's own, once for its times, then with them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.eval.load.calibration import measure_table
from mixdq.eval.load.http import Server
from mixdq.eval.load.launch import launched
from mixdq.eval.load.replay import Rules, replay
from mixdq.eval.load.replay_report import ReplayReport
from mixdq.eval.load.run import run_schedule
from mixdq.eval.load.sample import write_samples
from mixdq.eval.load.schedule import Wish, make_schedule
from mixdq.eval.load.summary import summarize
from mixdq.runtime.simulate.calls import Clients, Pattern, Poisson

_READY_S = 300.0
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """What is compared.

    Attributes:
        bundle: its folder.
        target: of its engines.
        policy: its word.
        objective_s: from arrival to picture.
        utilities: by resolution.
        loads: of what the policy's fastest resolution can serve.
        clients: of each burst.
        serve: further arguments of `mixdq-serve`.
        calibration: pictures of each resolution for the table of times.
        requests: of each pattern.
        seed: of the arrivals.
        prompts: taken in turns.
        within: how far figures may be apart, as a share.
        max_lag_ms: how late 99 of 100 requests may be sent.
    """

    bundle: Path
    target: str
    policy: str
    objective_s: float
    utilities: Mapping[int, float]
    loads: tuple[float, ...]
    clients: tuple[int, ...]
    serve: tuple[str, ...]
    calibration: int
    requests: int
    seed: int
    prompts: tuple[str, ...]
    within: float
    max_lag_ms: float

    def patterns(self, rules: Rules) -> tuple[Pattern | Clients, ...]:
        """The arrivals, once it is known what the server can do."""
        rates = (round(load * rules.capacity_per_s, 3) for load in self.loads)
        return (*map(Poisson, rates), *map(Clients, self.clients))


def measure_replay(wanted: Replayed, folder: Path, watch: Callable[[str], None]) -> ReplayReport:
    """Measures and simulates.

    Args:
        wanted: what.
        folder: for the table of times, the servers' logs and a line a request.
        watch: is told what is measured now.

    Raises:
        EvaluationError: the server can't be started, makes no picture, or doesn't tell what it took.
        BundleError: there is no such bundle.
    """
    common = (str(wanted.bundle), "--target", wanted.target, *wanted.serve)
    table = folder / "latency.json"
    watch("starting the server")
    with launched(common, folder / "calibration.log", _READY_S) as server:
        to = Server(server.url, None, _TIMEOUT_S)
        times = measure_table(to, wanted.bundle, wanted.target, wanted.prompts, wanted.calibration, watch)
    times.write(table)
    rules = Rules(wanted.policy, wanted.objective_s, wanted.utilities, times)
    wish = Wish(wanted.prompts, None, None)
    runs = []
    for number, pattern in enumerate(wanted.patterns(rules)):
        schedule = make_schedule(pattern, wanted.requests, wanted.seed, wish)
        watch(f"{schedule.title}: {wanted.requests} requests")
        # Each begins as its simulation does: with no memory of how others came.
        log = folder / f"server-{number}.log"
        with launched((*common, *rules.arguments(table)), log, _READY_S) as server:
            runs.append(run_schedule(schedule, Server(server.url, None, _TIMEOUT_S), ()))
    write_samples(folder / "samples.csv", [(run.schedule.title, run.samples) for run in runs])
    watch("simulating")
    invalid = [summarize(run).why_invalid(wanted.max_lag_ms) for run in runs]
    return ReplayReport(
        _settings(wanted, rules),
        tuple(replay(run, rules) for run in runs),
        wanted.within,
        tuple(reason for reason in invalid if reason is not None),
        describe_machine(),
        installed_versions("mixdq", "onnxruntime"),
    )


def _settings(wanted: Replayed, rules: Rules) -> dict[str, str]:
    points = sorted(rules.menu.points, key=lambda point: point.resolution)
    return {
        "bundle": str(wanted.bundle),
        "policy": wanted.policy,
        "objective": f"{1e3 * wanted.objective_s:g} ms",
        "ms": ", ".join(f"{point.resolution}: {1e3 * point.typical_s[0]:.1f}" for point in points),
        "utility": ", ".join(f"{point.resolution}: {point.utility:g}" for point in points),
        "seed": str(wanted.seed),
        "further options": shlex.join(wanted.serve) or "none",
    }
