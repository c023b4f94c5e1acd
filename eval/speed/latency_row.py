"""One row of a table of times, of what was measured of one thing in one case."""

from __future__ import annotations

from collections.abc import Sequence

from mixdq.configs.latency_table import LatencyRow
from mixdq.eval.speed.subject import Case
from mixdq.eval.timing import Spread


def latency_row(
    case: Case,
    digest: str,
    what: tuple[str, str, str],
    clock: str,
    spread: Spread,
    medians: Sequence[float],
    sm_mhz: int | None = None,
) -> LatencyRow:
    """The row.

    Args:
        case: what was drawn, by what.
        digest: of the run.
        what: kind, name and precision.
        clock: which clock measured it.
        spread: of all values.
        medians: one a process.
        sm_mhz: of the GPU; None without one.
    """
    label = case.subject.label
    kind, name, precision = what
    return LatencyRow(
        name=name,
        kind=kind,
        precision=precision,
        plan_digest=label.plan_digest,
        target=label.target,
        device=label.device,
        resolution=case.resolution,
        batch=case.batch,
        median_us=round(spread.median, 2),
        lower_quartile_us=round(spread.lower_quartile, 2),
        upper_quartile_us=round(spread.upper_quartile, 2),
        p95_us=round(spread.p95, 2),
        runs=spread.count,
        processes=len(medians),
        lowest_process_us=round(min(medians), 2),
        highest_process_us=round(max(medians), 2),
        source=label.source,
        model=label.model,
        steps=case.drawing.steps,
        clock=clock,
        run_digest=digest,
        sm_mhz=sm_mhz,
    )
