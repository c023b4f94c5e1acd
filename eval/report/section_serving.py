"""Servers under load: curves, the earlier experiment's matrix, the simulator's figures, overload."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixdq.eval.load.matrix import Drawn
from mixdq.eval.load.replay_report import Figures, ReplayReport
from mixdq.eval.load.report import LoadReport
from mixdq.eval.load.summary import Summary
from mixdq.eval.load.surge import SurgeReport
from mixdq.eval.report.chart_plane import Axis, Point, Series, plane
from mixdq.eval.report.chart_rows import DotRow, Mark, dots
from mixdq.eval.report.chart_shapes import Chart
from mixdq.eval.report.found import Document
from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Block, Cell, Figure, Heading, Prose, Section, Table
from mixdq.eval.report.words import cells, fixed, percent, signed

_PERCENTILES = (("p50", "s0"), ("p95", "s4"), ("p99", "s1"))


def serving_section(results: Results) -> Section:
    """Each document by itself."""
    blocks: list[Block] = []
    for place, load in enumerate(results.found.loads, start=1):
        blocks += [Heading(f"Load test {load.name}"), *_load(results, load, f"load-{place}")]
    for place, matrix in enumerate(results.found.matrices, start=1):
        blocks += [Heading(f"Static and adaptive, {matrix.name}"), *_matrix(matrix, f"load-matrix-{place}")]
    for place, replay in enumerate(results.found.replays, start=1):
        blocks += [
            Heading(f"Simulator and server, {replay.name}"),
            *_replay(results, replay, f"replay-{place}"),
        ]
    for place, surge in enumerate(results.found.overloads, start=1):
        blocks += [Heading(f"Overload, {surge.name}"), *_surge(results, surge, f"overload-{place}")]
    return Section("serving", "Serving", tuple(blocks))


def _load(results: Results, document: Document[LoadReport], key: str) -> Iterator[Block]:
    report = document.content
    charts = [*_curves(report.rows, by_rate=True), *_curves(report.rows, by_rate=False)]
    if charts:
        yield Figure(
            "Latency from when a request was to be sent to the last byte of its answer, of pictures that "
            "were made; and the share of all requests whose picture came in time. The dashed line is the "
            "objective.",
            tuple(charts),
        )
    yield Table(
        key=key,
        caption=(
            f"By arrivals, machine {results.origins.letter(document)}; "
            + "; ".join(f"{name} {text}" for name, text in report.settings.items())
        ),
        heads=(
            *("arrivals", "requests", "in time", "p50 ms", "p95 ms", "p99 ms", "goodput/s", "utility"),
            *("made", "refused", "shed", "failed"),
        ),
        rows=tuple(_load_row(row) for row in report.rows),
    )
    for reason in report.invalid:
        yield Prose(f"Not the server's figures: {reason}", "bad")


def _load_row(row: Summary) -> tuple[Cell, ...]:
    return cells(
        row.title,
        str(row.requests),
        percent(row.in_time_share),
        *(fixed(value, 1) for value in (row.p50_ms, row.p95_ms, row.p99_ms)),
        fixed(row.goodput_per_s, 2),
        fixed(row.mean_utility, 3),
        *(str(count) for count in (row.made, row.refused, row.shed)),
        str(row.unavailable + row.rejected + row.errors),
    )


def _curves(rows: Sequence[Summary], *, by_rate: bool) -> Iterator[Chart]:
    """Percentiles and the share in time over the rate of arrivals, or over the number of clients."""
    chosen = [row for row in rows if bool(row.clients) is not by_rate and row.p50_ms is not None]
    for pattern in dict.fromkeys(row.arrivals if by_rate else "clients" for row in chosen):
        own = [row for row in chosen if not by_rate or row.arrivals == pattern]
        own.sort(key=lambda row: row.rate_per_s if by_rate else row.clients)
        if len(own) < 2:
            continue
        across = [row.rate_per_s if by_rate else float(row.clients) for row in own]
        axis = Axis("requests a second" if by_rate else "clients that wait for their answers", zero=True)
        limit = own[0].objective_ms
        series = [
            Series(
                tuple(
                    Point(x, getattr(row, f"{name}_ms"), hint=f"{name} {getattr(row, f'{name}_ms'):.0f} ms")
                    for x, row in zip(across, own, strict=True)
                ),
                style,
                joined=True,
                label=name,
            )
            for name, style in _PERCENTILES
        ]
        title = f"{pattern.capitalize()}: latency"
        yield plane(title, series, axis, Axis("ms", zero=True, limit=limit))
        shares = [(x, row.in_time_share) for x, row in zip(across, own, strict=True)]
        known = tuple(Point(x, 100 * share) for x, share in shares if share is not None)
        if known:
            yield plane(
                f"{pattern.capitalize()}: in time",
                [Series(known, "s2", joined=True)],
                axis,
                Axis("% of all requests", zero=True),
            )


def _matrix(document: Document[tuple[Drawn, ...]], key: str) -> Iterator[Block]:
    cells_of = document.content
    charts = []
    for bits in dict.fromkeys(cell.wbits for cell in cells_of):
        rows = []
        own = [cell for cell in cells_of if cell.wbits == bits]
        for case in dict.fromkeys((cell.pattern, cell.conc, cell.lam) for cell in own):
            pair = {cell.policy: cell for cell in own if (cell.pattern, cell.conc, cell.lam) == case}
            marks = tuple(
                Mark(pair[policy].p95_ms or 0.0, style, f"{policy}: {pair[policy].p95_ms:.0f} ms")
                for policy, style in (("static", "s1"), ("adaptive", "s0"))
                if policy in pair and pair[policy].p95_ms is not None
            )
            if marks:
                figures = " → ".join(f"{mark.value:.0f}" for mark in marks)
                rows.append(DotRow(_case(*case), marks, figures))
        if rows:
            charts.append(dots(f"{bits} bits" if bits.isdecimal() else bits, rows, "p95 ms"))
    yield Figure(
        "The 95th percentile of the latency with one fixed resolution and with one that follows the load. "
        "The file doesn't say which machine it was.",
        tuple(charts),
        (("s1", "static"), ("s0", "adaptive")),
    )
    yield Table(
        key=key,
        caption="The matrix, all rows",
        heads=("arrivals", "weights", "policy", "p95 ms", "p99 ms"),
        rows=tuple(
            cells(
                _case(cell.pattern, cell.conc, cell.lam),
                cell.wbits,
                cell.policy,
                fixed(cell.p95_ms, 1),
                fixed(cell.p99_ms, 1),
            )
            for cell in cells_of
        ),
        words=frozenset({"weights", "policy"}),
        folded=True,
    )


def _case(pattern: str, clients: int | None, rate: float | None) -> str:
    if clients is not None:
        return f"burst of {clients}"
    return f"{pattern} {rate:g}/s" if rate is not None else pattern


def _replay(results: Results, document: Document[ReplayReport], key: str) -> Iterator[Block]:
    report = document.content
    charts = [
        dots(title, rows, "ms")
        for title, field in (("p50", "p50_ms"), ("p95", "p95_ms"))
        if (rows := list(_pairs(report, field)))
    ]
    yield Figure(
        "The same arrivals, rules and service times in the server, by its own clock, and in the simulator. "
        f"They must agree within {100 * report.within:g} %; machine {results.origins.letter(document)}.",
        tuple(charts),
        (("s0", "server"), ("s1", "simulator")),
    )
    yield Table(
        key=key,
        caption="; ".join(f"{name} {text}" for name, text in report.settings.items()),
        heads=(
            *("arrivals", "requests", "p50: server", "simulator", "apart"),
            *("p95: server", "simulator ", "apart ", "in time: server", "simulator  "),
        ),
        rows=tuple(
            cells(
                row.arrivals,
                str(row.requests),
                *_beside(row.server.p50_ms, row.simulated.p50_ms, report.within),
                *_beside(row.server.p95_ms, row.simulated.p95_ms, report.within),
                percent(row.server.in_time_share),
                percent(row.simulated.in_time_share),
            )
            for row in report.rows
        ),
    )
    for reason in report.invalid:
        yield Prose(f"Not the server's figures: {reason}", "bad")


def _pairs(report: ReplayReport, field: str) -> Iterator[DotRow]:
    for row in report.rows:
        found: list[tuple[Figures, str, str]] = [
            (row.server, "s0", "server"),
            (row.simulated, "s1", "simulator"),
        ]
        values = [(getattr(figures, field), style, who) for figures, style, who in found]
        marks = tuple(
            Mark(value, style, f"{who}: {value:.1f} ms") for value, style, who in values if value is not None
        )
        if marks:
            yield DotRow(row.arrivals, marks, f"{marks[0].value:.0f}")


def _beside(measured: float | None, simulated: float | None, within: float) -> tuple[str | Cell, ...]:
    if measured is None or not simulated:
        return fixed(measured, 1), fixed(simulated, 1), Cell("–")
    apart = measured / simulated - 1
    shown = f"{signed(100 * apart, 1)} %"
    return fixed(measured, 1), fixed(simulated, 1), Cell(shown, "bad" if abs(apart) > within else "")


def _surge(results: Results, document: Document[SurgeReport], key: str) -> Iterator[Block]:
    report = document.content
    done = report.surge_done / report.surge_accepted if report.surge_accepted else None
    sizes = (report.first_mib, report.peak_mib, report.last_mib)
    memory = "{:.0f} MiB at first, {:.0f} at most, {:.0f} at the end".format(*sizes)
    yield Table(
        key=key,
        caption=f"Far too many requests for a while; machine {results.origins.letter(document)}",
        heads=("", "found"),
        rows=(
            cells("requests in the surge", f"{report.surge_requests:,}"),
            cells("accepted", f"{report.surge_accepted:,}"),
            cells("of them done in time", f"{report.surge_done:,} ({percent(done, 2)})"),
            cells("late; dropped or failed", f"{report.surge_late}; {report.surge_dropped}"),
            cells("p95 at the client", f"{fixed(report.surge_p95_ms, 0)} ms"),
            cells("objective", f"{report.objective_ms:g} ms"),
            cells(
                "everyone in time again",
                "never"
                if report.recovered_ms is None
                else f"{fixed(report.recovered_ms, 0)} ms after the surge",
            ),
            cells("memory of the server", memory),
        ),
    )
    for failure in report.failures():
        yield Prose(failure.capitalize(), "bad")
