"""Server and simulator side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.files import write_text


@dataclass(frozen=True, slots=True, config=STRICT)
class Figures:
    """What is compared; None where no picture was made.

    Attributes:
        p50_ms: of the pictures' latencies.
        p95_ms: of the same.
        in_time_share: of all requests.
        resolution_shares: of the pictures, by pixels.
    """

    p50_ms: float | None
    p95_ms: float | None
    in_time_share: float
    resolution_shares: Mapping[int, float]


@dataclass(frozen=True, slots=True, config=STRICT)
class ReplayRow:
    """One pattern of arrivals.

    Attributes:
        arrivals: in words, with the rate.
        load: of the fastest resolution that the policy may choose; 0 for clients that wait.
        requests: how many came.
        server: by the server's clock: from arrival to the end of the service.
        client: by the client's: from the intended sending to the last byte.
        simulated: with what the server's pictures took, one by one.
        pace: what they took over what the table, by which both decide, says; the mean.
        lag_p99_ms: how late the client sent.
    """

    arrivals: str
    load: float
    requests: int
    server: Figures
    client: Figures
    simulated: Figures
    pace: float
    lag_p99_ms: float

    def differences(self, measured: Figures) -> dict[str, float]:
        """How far a measured figure is from the simulated one, as a share of it; by name.

        A figure that one has and the other has not is infinitely far.
        """
        return {
            name: _apart(getattr(measured, name), getattr(self.simulated, name))
            for name in ("p50_ms", "p95_ms", "in_time_share")
        }


@dataclass(frozen=True, slots=True, config=STRICT)
class ReplayReport:
    """All patterns.

    Attributes:
        settings: what the figures depend on, in words.
        rows: one a pattern.
        within: how far the server's figures may be from the simulated ones.
        invalid: why rows are the client's figures and not the server's.
        machine: what all of it ran on.
        versions: of the packages.
    """

    settings: Mapping[str, str]
    rows: tuple[ReplayRow, ...]
    within: float
    invalid: tuple[str, ...]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    version: int = 1

    @property
    def passed(self) -> bool:
        """Whether every figure of every row is as near as it should be, and the client was in time."""
        return not self.invalid and not list(self.far())

    def far(self) -> Iterator[str]:
        """A line for each figure that is too far from the simulated one."""
        for row in self.rows:
            for name, apart in row.differences(row.server).items():
                if abs(apart) > self.within:
                    yield (
                        f"{row.arrivals}: {name} is {100 * apart:+.1f} % from the simulated one, more than "
                        f"{100 * self.within:g} %"
                    )

    def write(self, path: Path) -> None:
        """Writes all of it as JSON."""
        write_text(path, to_json(self))


def replay_view(report: ReplayReport) -> Table:
    """Three lines a pattern: server, client, simulator."""
    view = Table(
        caption="; ".join(f"{name} {text}" for name, text in report.settings.items()),
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    view.add_column("arrivals", no_wrap=True)
    view.add_column("", no_wrap=True)
    sizes = sorted({size for row in report.rows for size in row.simulated.resolution_shares})
    for heading in ("requests", "p50 ms", "", "p95 ms", "", "in time", "", *map(str, sizes), "pace"):
        view.add_column(heading, justify="right", no_wrap=True)
    for row in report.rows:
        for who, figures in (("server", row.server), ("client", row.client), ("simulator", row.simulated)):
            first = who == "server"
            apart = {} if who == "simulator" else row.differences(figures)
            view.add_row(
                row.arrivals if first else "",
                who,
                str(row.requests) if first else "",
                _number(figures.p50_ms, 1),
                _percent(apart.get("p50_ms")),
                _number(figures.p95_ms, 1),
                _percent(apart.get("p95_ms")),
                f"{figures.in_time_share:.4f}",
                _percent(apart.get("in_time_share")),
                *(f"{figures.resolution_shares.get(size, 0.0):.2f}" for size in sizes),
                f"{row.pace:.3f}" if who == "simulator" else "",
            )
    return view


def _apart(measured: float | None, simulated: float | None) -> float:
    if measured == simulated:
        return 0.0
    return float("inf") if measured is None or not simulated else measured / simulated - 1


def _number(figure: float | None, digits: int) -> str:
    return "" if figure is None else f"{figure:.{digits}f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:+.1f} %"
