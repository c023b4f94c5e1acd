"""The figures of a load test, in a file, as a table and as lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic.dataclasses import dataclass
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.files import write_text
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.eval.load.memory_watch import MemorySample
from mixdq.eval.load.run import Run
from mixdq.eval.load.summary import Summary


@dataclass(frozen=True, slots=True, config=STRICT)
class LoadReport:
    """All schedules of one command.

    Attributes:
        settings: what the figures depend on, in words, by name.
        rows: one a schedule.
        invalid: why rows are the client's figures and not the server's; empty if all are the server's.
        memory: of the server, a list a schedule; empty lists if nobody looked.
        machine: what the client ran on.
        versions: of the client's packages.
    """

    settings: Mapping[str, str]
    rows: tuple[Summary, ...]
    invalid: tuple[str, ...]
    memory: tuple[tuple[MemorySample, ...], ...]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    version: int = 1

    def write(self, path: Path) -> None:
        """Writes all of it as JSON."""
        write_text(path, to_json(self))


def make_report(
    settings: Mapping[str, str], rows: Sequence[Summary], runs: Sequence[Run], max_lag_ms: float
) -> LoadReport:
    """The figures of several runs.

    Args:
        settings: what they depend on.
        rows: the figures of each run.
        runs: which.
        max_lag_ms: how late 99 of 100 requests may have been sent.
    """
    invalid = [reason for row in rows if (reason := row.why_invalid(max_lag_ms)) is not None]
    memory = tuple(run.memory for run in runs)
    versions = installed_versions("aiohttp", "mixdq", "numpy")
    return LoadReport(settings, tuple(rows), tuple(invalid), memory, describe_machine(), versions)


def load_view(report: LoadReport) -> Table:
    """A line a schedule."""
    view = Table(
        caption="; ".join(f"{name} {text}" for name, text in report.settings.items()),
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    view.add_column("arrivals", no_wrap=True)
    sizes = sorted({size for row in report.rows for size in row.resolution_shares})
    times = ("p50 ms", "p95 ms", "p99 ms", "wait ms", "service ms")
    ends = ("made", "refused", "shed", "503", "4xx", "errors")
    shares = [f"{size}" for size in sizes]
    for heading in (
        *("a second", "requests", "in time", "utility", "goodput", *times, *ends, *shares, "lag p99 ms"),
    ):
        view.add_column(heading, justify="right", no_wrap=True)
    for row in report.rows:
        view.add_row(*_cells(row, sizes))
    return view


def load_lines(report: LoadReport) -> Iterator[str]:
    """A line a schedule for logs, with p50 and p95; then what is to be known of them."""
    for row, memory in zip(report.rows, report.memory, strict=True):
        yield load_line(row)
        if memory:
            sizes = [one.mib for one in memory]
            yield (
                f"{row.title}: the server's processes held {sizes[0]:.0f} MiB at first, at most "
                f"{max(sizes):.0f}, {sizes[-1]:.0f} at the end"
            )
    yield from report.invalid


def load_line(row: Summary) -> str:
    """`poisson 2/s: p50 130.1 ms, p95 310.2 ms, p99 420.9 ms, 100 requests, 100 made, …`."""
    times = ", ".join(
        f"{name} {number(time, 1) or 'unknown'} ms"
        for name, time in (("p50", row.p50_ms), ("p95", row.p95_ms), ("p99", row.p99_ms))
    )
    ends = ", ".join(
        f"{count} {name}"
        for name, count in (
            ("refused", row.refused),
            ("shed", row.shed),
            ("unavailable", row.unavailable),
            ("rejected", row.rejected),
            ("errors", row.errors),
        )
        if count
    )
    share = "" if row.in_time_share is None else f", in time {row.in_time_share:.4f}"
    overhead = (
        ""
        if row.overhead_p50_ms is None
        else f", server beside the model p50 {number(row.overhead_p50_ms, 1)} ms, "
        f"p99 {number(row.overhead_p99_ms, 1)} ms"
    )
    return (
        f"{row.title}: {times}, {row.requests} requests, {row.made} made"
        f"{', ' if ends else ''}{ends}{share}{overhead}, lag p99 {row.lag_p99_ms:.1f} ms"
    )


def number(figure: float | None, digits: int) -> str:
    """A figure as text; nothing where it is not known."""
    return "" if figure is None else f"{figure:.{digits}f}"


def _cells(row: Summary, sizes: Sequence[int]) -> list[str]:
    times = (row.p50_ms, row.p95_ms, row.p99_ms, row.mean_wait_ms, row.mean_service_ms)
    return [
        row.arrivals,
        f"{row.rate_per_s:g}" if row.rate_per_s else "",
        str(row.requests),
        number(row.in_time_share, 4),
        number(row.mean_utility, 3),
        f"{row.goodput_per_s:.2f}",
        *(number(time, 1) for time in times),
        *map(str, (row.made, row.refused, row.shed, row.unavailable, row.rejected, row.errors)),
        *(f"{row.resolution_shares.get(size, 0.0):.2f}" for size in sizes),
        f"{row.lag_p99_ms:.1f}",
    ]
