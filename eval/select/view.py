"""A selection for people."""

from __future__ import annotations

from rich.table import Table

from mixdq.eval.select.selection import Judged, Selection


def selection_view(found: Selection) -> Table:
    """A row a point: those that meet all wishes first, each by resolution and latency."""
    shown = Table(
        "",
        "pixels",
        "plan",
        "where",
        "p50 ms",
        "p95 ms",
        "peak MiB",
        found.metric or "quality",
        "off",
        title=f"{found.origin.model}: * is beaten by no other, > is chosen",
    )
    for column in shown.columns[4:8]:
        column.justify = "right"
    for one in sorted(found.points, key=_order):
        point = one.point
        score = point.score(found.metric) if found.metric else None
        shown.add_row(
            _mark(one, found),
            str(point.resolution),
            point.plan,
            f"{point.target} on {point.device}" + (f", batch {point.batch}" if point.batch > 1 else ""),
            f"{point.p50_ms:.1f}",
            f"{point.p95_ms:.1f}",
            f"{point.peak_mib:.0f}",
            "" if score is None else f"{score.value:.4g}",
            "; ".join(_off(one)),
        )
    return shown


def _order(one: Judged) -> tuple[bool, int, float]:
    return (bool(one.violations), -one.point.resolution, one.point.p95_ms)


def _mark(one: Judged, found: Selection) -> str:
    return ("*" if one.pareto else " ") + (">" if one.point == found.chosen else "")


def _off(one: Judged) -> list[str]:
    return [
        f"{violation.wish}: {violation.off}" if violation.off else violation.wish
        for violation in one.violations
    ]
