"""A surge measured: a server of one's own, its answers and its memory."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.errors import EvaluationError
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.eval.load.facts import Facts
from mixdq.eval.load.http import Server
from mixdq.eval.load.launch import launched
from mixdq.eval.load.run import Run, facts_of, run_schedule
from mixdq.eval.load.sample import Ending, write_samples
from mixdq.eval.load.schedule import Wish, make_schedule, warm_up
from mixdq.eval.load.summary import percentiles_ms, summarize
from mixdq.eval.load.surge import Surge, SurgeReport, judged, recovered_s

_READY_S = 300.0
_TIMEOUT_S = 300.0
_WARMUP = 10
_QUIET_LOAD = 0.3
"""Of what the fastest resolution can serve, before and after."""
_BEFORE_S = 10.0
_AFTER_OBJECTIVES = 15.0
_MOST = 10_000_000
"""More arrivals than any surge has: its end is in time."""


@dataclass(frozen=True, slots=True)
class Overload:
    """What is measured.

    Attributes:
        bundle: its folder.
        serve: arguments of `mixdq-serve`.
        factor: arrivals of the surge, over what the fastest resolution can serve.
        surge_s: how long it is.
        least_done_share: of those accepted in it, who have to be done in time.
        most_growth_mib: of the server's memory.
        seed: of the arrivals.
        prompts: taken in turns.
        max_lag_ms: how late 99 of 100 requests may be sent.
    """

    bundle: Path
    serve: tuple[str, ...]
    factor: float
    surge_s: float
    least_done_share: float
    most_growth_mib: float
    seed: int
    prompts: tuple[str, ...]
    max_lag_ms: float

    def surge(self, facts: Facts) -> Surge:
        """The arrivals, once it is known what the server can do.

        Raises:
            EvaluationError: it doesn't say.
        """
        if not facts.service_s or facts.objective_s is None:
            raise EvaluationError("the server tells neither its pictures' times nor its objective at /status")
        capacity_per_s = 1.0 / min(facts.service_s.values())
        return Surge(
            quiet_per_s=round(_QUIET_LOAD * capacity_per_s, 3),
            surge_per_s=round(self.factor * capacity_per_s, 3),
            before_s=_BEFORE_S,
            surge_s=self.surge_s,
            after_s=_AFTER_OBJECTIVES * facts.objective_s,
        )


def measure_overload(wanted: Overload, folder: Path, watch: Callable[[str], None]) -> SurgeReport:
    """Measures it.

    Args:
        wanted: what.
        folder: for the server's log and a line a request.
        watch: is told what is measured now.

    Raises:
        EvaluationError: the server can't be started, or makes no picture.
        BundleError: there is no such bundle.
    """
    watch("starting the server")
    wish = Wish(wanted.prompts, None, None)
    with launched((str(wanted.bundle), *wanted.serve), folder / "server.log", _READY_S) as server:
        to = Server(server.url, None, _TIMEOUT_S)
        surge = wanted.surge(facts_of(to))
        schedule = make_schedule(surge, _MOST, wanted.seed, wish)
        watch(f"{len(schedule.planned)} requests, {surge.surge_per_s:g} a second for {surge.surge_s:g} s")
        run = run_schedule(schedule, to, warm_up(_WARMUP, wish), pid=server.pid)
    write_samples(folder / "samples.csv", [(schedule.name, run.samples)])
    return _report(wanted, surge, run)


def _report(wanted: Overload, surge: Surge, run: Run) -> SurgeReport:
    within = [one for one in run.samples if surge.before_s <= one.intended_s < surge.end_s]
    _, p95_ms, _ = percentiles_ms([one.latency_s for one in within if one.ending is Ending.MADE])
    recovery_s = recovered_s(run.samples, surge.end_s)
    reason = summarize(run).why_invalid(wanted.max_lag_ms)
    sizes = [one.mib for one in run.memory]
    assert run.facts.objective_s is not None
    return SurgeReport(
        settings={
            "bundle": str(wanted.bundle),
            "mixdq-serve": shlex.join(wanted.serve),
            "requests a second": f"{surge.quiet_per_s:g}; in the surge {surge.surge_per_s:g}",
            "seed": str(wanted.seed),
        },
        objective_ms=1e3 * run.facts.objective_s,
        **judged(run, surge),
        least_done_share=wanted.least_done_share,
        surge_p95_ms=p95_ms,
        recovered_ms=None if recovery_s is None else 1e3 * recovery_s,
        first_mib=sizes[0],
        peak_mib=max(sizes),
        last_mib=sizes[-1],
        most_growth_mib=wanted.most_growth_mib,
        invalid=() if reason is None else (reason,),
        machine=describe_machine(),
        versions=installed_versions("mixdq", "onnxruntime"),
    )
