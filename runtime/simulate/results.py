"""The figures of a simulation, in a file and as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic.dataclasses import dataclass
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.files import write_text
from mixdq.runtime.policy.points import Menu
from mixdq.runtime.policy.request import Outcome
from mixdq.runtime.simulate.record import Record


@dataclass(frozen=True, slots=True, config=STRICT)
class Row:
    """One policy under one pattern of arrivals.

    Times are from arrival to picture; shares of resolutions and utilities are of all pictures that were made,
    late ones included.

    Attributes:
        arrivals: the pattern.
        rate_per_s: its mean; 0 for clients that wait for their answers.
        policy: which.
        requests: how many came.
        done_share: of all that came, who had their pictures in time.
        mean_utility: of a picture.
        value: utility of the pictures in time, a request that came: what done_share and mean_utility make.
        p50_ms: half took no longer; None here and below if no picture was made.
        p95_ms: 95 of 100 took no longer.
        p99_ms: 99 of 100 took no longer.
        mean_wait_ms: from arrival to the beginning of the service.
        goodput_per_s: pictures in time a second.
        refused: not accepted.
        shed: accepted, and dropped before they were served.
        late: accepted, and made after the deadline.
        late_share: of the accepted.
        busy_share: of the workers' time.
        switches: changes of a worker's resolution.
        resolution_shares: of the pictures, by pixels.
    """

    arrivals: str
    rate_per_s: float
    policy: str
    requests: int
    done_share: float
    mean_utility: float | None
    value: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    mean_wait_ms: float | None
    goodput_per_s: float
    refused: int
    shed: int
    late: int
    late_share: float
    busy_share: float
    switches: int
    resolution_shares: Mapping[int, float]


@dataclass(frozen=True, slots=True, config=STRICT)
class Results:
    """All rows of a simulation, and what they depend on.

    Attributes:
        settings: in words, by name.
        rows: one a policy and pattern.
        dominated: resolutions that adapting never chooses, and why.
    """

    settings: Mapping[str, str]
    rows: tuple[Row, ...]
    dominated: tuple[str, ...]
    version: int = 1

    def write_json(self, path: Path) -> None:
        """Writes all of it."""
        write_text(path, to_json(self))

    def write_csv(self, path: Path) -> None:
        """Writes the rows."""
        sizes = sorted({size for row in self.rows for size in row.resolution_shares})
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*_PLAIN, *(f"share_{size}" for size in sizes)])
        for row in self.rows:
            shares = (row.resolution_shares.get(size, 0.0) for size in sizes)
            writer.writerow([*(getattr(row, name) for name in _PLAIN), *shares])
        write_text(path, out.getvalue())


_PLAIN = tuple(name for name in Row.__dataclass_fields__ if name != "resolution_shares")


def make_row(arrivals: str, rate_per_s: float, policy: str, record: Record, menu: Menu, workers: int) -> Row:
    """The figures of one record."""
    tally, outcomes = record.tally, record.tally.outcomes
    done, late = outcomes.get(Outcome.DONE, 0), outcomes.get(Outcome.LATE, 0)
    made = len(record.latency_s)
    times_ms = 1e3 * np.frombuffer(record.latency_s) if made else None
    p50, p95, p99 = (None,) * 3 if times_ms is None else map(float, np.percentile(times_ms, (50, 95, 99)))
    return Row(
        arrivals=arrivals,
        rate_per_s=rate_per_s,
        policy=policy,
        requests=tally.arrived,
        done_share=done / tally.arrived,
        mean_utility=record.utility / made if made else None,
        value=record.utility_in_time / tally.arrived,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        mean_wait_ms=1e3 * record.wait_s / made if made else None,
        goodput_per_s=done / record.end_s if record.end_s else 0.0,
        refused=tally.refused,
        shed=outcomes.get(Outcome.SHED, 0),
        late=late,
        late_share=late / tally.accepted if tally.accepted else 0.0,
        busy_share=record.busy_s / (workers * record.end_s) if record.end_s else 0.0,
        switches=record.switches,
        resolution_shares={
            size: record.by_resolution[size] / made if made else 0.0 for size in menu.resolutions
        },
    )


def results_view(results: Results) -> Table:
    """A line a row."""
    view = Table(
        caption="; ".join(f"{name} {text}" for name, text in results.settings.items()),
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    for heading in ("arrivals", "policy"):
        view.add_column(heading, no_wrap=True)
    sizes = sorted({size for row in results.rows for size in row.resolution_shares})
    figures = ("a second", "in time", "utility", "value", "p50 ms", "p95 ms", "p99 ms", "wait ms", "goodput")
    for heading in (*figures, "refused", "shed", "late", "busy", *(f"{size}" for size in sizes)):
        view.add_column(heading, justify="right", no_wrap=True)
    for row in results.rows:
        view.add_row(*_cells(row, sizes))
    return view


def _cells(row: Row, sizes: Sequence[int]) -> list[str]:
    return [
        row.arrivals,
        row.policy,
        f"{row.rate_per_s:g}" if row.rate_per_s else "",
        f"{row.done_share:.4f}",
        _number(row.mean_utility, 3),
        f"{row.value:.3f}",
        *(_number(time, 0) for time in (row.p50_ms, row.p95_ms, row.p99_ms, row.mean_wait_ms)),
        f"{row.goodput_per_s:.2f}",
        str(row.refused),
        str(row.shed),
        str(row.late),
        f"{row.busy_share:.2f}",
        *(f"{row.resolution_shares.get(size, 0.0):.2f}" for size in sizes),
    ]


def _number(figure: float | None, digits: int) -> str:
    return "" if figure is None else f"{figure:.{digits}f}"
