"""The server against the simulator: the same arrivals, the same rules, the times that its pictures took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from mixdq.configs.latency_table import WHOLE, LatencyTable
from mixdq.eval.load.occupancy import occupancies
from mixdq.eval.load.replay_report import Figures, ReplayRow
from mixdq.eval.load.run import Run
from mixdq.eval.load.sample import Ending
from mixdq.eval.load.summary import Summary, percentiles_ms, summarize
from mixdq.runtime.policy.measured import Measurements, measured_points
from mixdq.runtime.policy.points import Menu, make_menu
from mixdq.runtime.policy.policy import Policy
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.policy.request import Outcome
from mixdq.runtime.policy.static import Static
from mixdq.runtime.policy.words import Tuning, parse_policy
from mixdq.runtime.simulate.calls import Call, Clients, Pattern
from mixdq.runtime.simulate.record import Record
from mixdq.runtime.simulate.simulator import Setup, simulate
from mixdq.runtime.simulate.trace import Trace

_TUNING = Tuning((2, 5), 1, 2.0, 0.001, 0.05)
_QUEUE = 1000
_MEMORY = 5.0
"""Of the arrivals' rate, in objectives."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What server and simulator decide by.

    Attributes:
        policy: its word.
        objective_s: from arrival to picture.
        utilities: by resolution.
        table: of the pictures' times.
    """

    policy: str
    objective_s: float
    utilities: Mapping[int, float]
    table: LatencyTable

    @property
    def menu(self) -> Menu:
        """What is served."""
        anything = Measurements(None, None, None, None, None, (WHOLE,))
        return make_menu(measured_points(self.table, anything, self.utilities))

    def arguments(self, table: Path) -> tuple[str, ...]:
        """Of `mixdq-serve`.

        Args:
            table: the file that holds the table.
        """
        utilities = [("--utility", f"{size}={utility:g}") for size, utility in self.utilities.items()]
        bounds = [("--threshold", str(bound)) for bound in _TUNING.bounds]
        pairs = [
            ("--policy", self.policy),
            ("--objective-ms", f"{1e3 * self.objective_s:g}"),
            ("--latency", str(table)),
            *utilities,
            *bounds,
            ("--hysteresis", str(_TUNING.hysteresis)),
            ("--refusal-cost", f"{_TUNING.refusal_cost:g}"),
            ("--late-risk", f"{_TUNING.late_risk:g}"),
            ("--switch-share", f"{_TUNING.switch_share:g}"),
            ("--rate-memory-s", f"{_MEMORY * self.objective_s:g}"),
            ("--queue-count", str(_QUEUE)),
        ]
        return tuple(word for pair in pairs for word in pair)

    def setup(self, requests: int) -> Setup:
        """Of the simulator; the queue's bytes are no bound in either."""
        memory_s = _MEMORY * self.objective_s
        limits = QueueLimits(_QUEUE, 1 << 40)
        return Setup(self.menu, 1, self.objective_s, 0.0, limits, memory_s, 1.0, requests, 0)

    def make_policy(self) -> Policy:
        """The policy.

        Raises:
            EvaluationError: there is no such policy.
            RequestError: it names a resolution that is not served.
        """
        return parse_policy(self.policy, self.menu, self.objective_s, 1, _TUNING)

    @property
    def capacity_per_s(self) -> float:
        """Pictures a second at the fastest resolution that the policy may choose."""
        policy = self.make_policy()
        point = policy.point if isinstance(policy, Static) else self.menu.points[0]
        return 1.0 / point.typical_s[0]


def replay(run: Run, rules: Rules) -> ReplayRow:
    """Simulates what a run met.

    Args:
        run: against a server with these rules and one worker, whose requests leave size and objective open.
        rules: which.

    Raises:
        EvaluationError: the server didn't tell what its pictures took.
    """
    summary = summarize(run)
    # When a client that waits sends depends on the answers: the simulator has such clients, too.
    pattern: Pattern | Clients = (
        Clients(run.schedule.clients)
        if run.schedule.clients
        else Trace("of the run", tuple(Call(sample.sent_s) for sample in run.samples))
    )
    paces = _paces(run, rules.menu)
    record = simulate(rules.setup(len(run.samples)), rules.make_policy(), pattern, paces)
    return ReplayRow(
        arrivals=summary.title,
        load=summary.rate_per_s / rules.capacity_per_s,
        requests=summary.requests,
        server=_server_figures(run, summary),
        client=_client_figures(summary),
        simulated=_simulated_figures(record),
        pace=fmean(paces) if paces else 1.0,
        lag_p99_ms=summary.lag_p99_ms,
    )


def _paces(run: Run, menu: Menu) -> tuple[float, ...]:
    """What the pictures took of the worker over what the table says, in the order in which they were made."""
    return tuple(one.seconds / menu.find(one.size).typical_s[0] for one in occupancies(run.samples))


def _server_figures(run: Run, summary: Summary) -> Figures:
    """By the server's clock."""
    made = [sample.reply for sample in run.samples if sample.ending is Ending.MADE]
    times_s = [
        reply.wait_s + reply.service_s for reply in made if reply.wait_s is not None and reply.service_s
    ]
    p50_ms, p95_ms, _ = percentiles_ms(times_s)
    in_time = sum(reply.late is False for reply in made)
    return Figures(p50_ms, p95_ms, in_time / summary.requests, summary.resolution_shares)


def _client_figures(summary: Summary) -> Figures:
    share = summary.in_time_share
    assert share is not None, "the server has an objective"
    return Figures(summary.p50_ms, summary.p95_ms, share, summary.resolution_shares)


def _simulated_figures(record: Record) -> Figures:
    p50_ms, p95_ms, _ = percentiles_ms(record.latency_s)
    made = len(record.latency_s)
    shares = {size: count / made for size, count in record.by_resolution.items()}
    return Figures(p50_ms, p95_ms, record.tally.outcomes.get(Outcome.DONE, 0) / record.tally.arrived, shares)
