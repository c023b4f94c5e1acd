"""What the command line says, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.errors import EvaluationError
from mixdq.configs.latency_table import LatencyTable
from mixdq.configs.quality_table import QualityTable
from mixdq.runtime.policy.measured import Measurements, measured_plan, measured_points, measured_utilities
from mixdq.runtime.policy.points import Menu, make_menu, plain_points
from mixdq.runtime.simulate.calls import Clients, Gamma, Pattern, Peaks, Poisson
from mixdq.runtime.simulate.trace import read_trace


@dataclass(frozen=True, slots=True)
class Served:
    """Where service times and utilities come from.

    Attributes:
        service_ms: `512=113.5`, one a resolution; empty if a table has them.
        noise: their standard deviation, as a share.
        utility: `512=0.7`, one a resolution; empty if a table has them.
        latency: the table of times.
        wanted: which of its rows.
        quality: the tables of scores, one a resolution.
        metric: which of their scores.
    """

    service_ms: tuple[str, ...]
    noise: float
    utility: tuple[str, ...]
    latency: Path | None
    wanted: Measurements
    quality: tuple[Path, ...]
    metric: str | None

    def menu(self) -> Menu:
        """The points, sorted.

        Raises:
            EvaluationError: times or utilities are missing, said twice or malformed; a table's fault.
            StorageError: a table can't be read.
        """
        if self.latency is not None and not self.service_ms:
            table = LatencyTable.read(self.latency)
            plan_digest = measured_plan(table, self.wanted)
            return make_menu(measured_points(table, self.wanted, self._utilities(plan_digest)))
        if self.latency is not None or not self.service_ms:
            raise EvaluationError(
                "service times come from --latency FILE, which `mixdq-eval latency` writes, or from "
                "--service-ms PIXELS=MS, once a resolution: pass one of the two"
            )
        service_ms = parse_by_resolution(self.service_ms, "--service-ms")
        service_s = {resolution: time_ms / 1e3 for resolution, time_ms in service_ms.items()}
        return make_menu(plain_points(service_s, self._utilities(self.wanted.plan_digest), self.noise))

    def _utilities(self, plan_digest: str | None) -> dict[int, float]:
        if self.utility and not self.quality and self.metric is None:
            return parse_by_resolution(self.utility, "--utility")
        if self.utility or not self.quality or self.metric is None:
            raise EvaluationError(
                "utilities come from --utility PIXELS=U, once a resolution, or from --quality FILE, which "
                "`mixdq-eval quality` writes, once a resolution, with --metric: pass one of the two"
            )
        return measured_utilities(
            [QualityTable.read(path) for path in self.quality], self.metric, plan_digest
        )


@dataclass(frozen=True, slots=True)
class Arriving:
    """Which arrivals.

    Attributes:
        kind: poisson, gamma, mmpp, burst or trace.
        rates: of the first three, requests a second.
        variation: of gamma.
        peak_height: of mmpp.
        peak_share: of mmpp.
        peak_s: of mmpp.
        concurrency: of burst.
        traces: files.
    """

    kind: str
    rates: tuple[float, ...]
    variation: float
    peak_height: float
    peak_share: float
    peak_s: float
    concurrency: tuple[int, ...]
    traces: tuple[Path, ...]

    def patterns(self) -> list[Pattern | Clients]:
        """One a rate, number of clients, or file.

        Raises:
            EvaluationError: none is given, one that the kind doesn't take is, or a figure is out of range.
            StorageError: a trace can't be read.
        """
        needed = {"burst": "--concurrency", "trace": "--trace"}.get(self.kind, "--rate")
        given = {"--rate": self.rates, "--concurrency": self.concurrency, "--trace": self.traces}
        if not given[needed]:
            raise EvaluationError(f"{self.kind} arrivals need {needed}; pass it once or several times")
        if others := [option for option, values in given.items() if values and option != needed]:
            raise EvaluationError(
                f"{self.kind} arrivals take {needed}, not {', '.join(others)}; leave it out"
            )
        match self.kind:
            case "burst":
                return [Clients(clients) for clients in self.concurrency]
            case "trace":
                return [read_trace(path) for path in self.traces]
            case "gamma":
                return [Gamma(rate, self.variation) for rate in self.rates]
            case "mmpp":
                peak = (self.peak_height, self.peak_share, self.peak_s)
                return [Peaks(rate, *peak) for rate in self.rates]
            case _:
                return [Poisson(rate) for rate in self.rates]


def parse_by_resolution(words: Sequence[str], option: str) -> dict[int, float]:
    """`512=113.5` and the like as numbers.

    Raises:
        EvaluationError: another form, or a resolution that is said twice.
    """
    found: dict[int, float] = {}
    for word in words:
        size, equals, figure = word.partition("=")
        try:
            resolution, value = int(size), float(figure)
        except ValueError:
            equals = ""
        if not equals:
            raise EvaluationError(f"{option} is PIXELS=NUMBER, such as 512=0.7, not {word}")
        if resolution in found:
            raise EvaluationError(f"{option} says {resolution} twice: {found[resolution]:g} and {value:g}")
        found[resolution] = value
    return found
