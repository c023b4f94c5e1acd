"""Service times and utilities from what `mixdq-eval` measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mixdq.configs.errors import EvaluationError
from mixdq.configs.latency_table import LatencyRow, LatencyTable
from mixdq.configs.quality_table import QualityRow, QualityTable, Score
from mixdq.runtime.policy.points import Point, check_same

P95_SIGMAS = 1.6448536269514722
"""Standard deviations from a normal distribution's median to its 95th percentile."""

_TELLING = ("source", "model", "precision", "plan_digest", "target", "device", "steps")


@dataclass(frozen=True, slots=True)
class Measurements:
    """Which rows of a latency table are meant; None for any, if that leaves one configuration.

    Attributes:
        source: the bundle's folder, as the table calls it.
        plan_digest: of the plan.
        target: `cpu`, `rtx:sm89`.
        device: `cpu` or `cuda`.
        steps: denoising steps.
        parts: the stages that a worker does; their times add up.
    """

    source: str | None
    plan_digest: str | None
    target: str | None
    device: str | None
    steps: int | None
    parts: tuple[str, ...]


def measured_points(
    table: LatencyTable, wanted: Measurements, utilities: Mapping[int, float]
) -> tuple[Point, ...]:
    """The points of one configuration of a latency table.

    A batch between two that were measured takes the time of the larger one, as an engine of a fixed batch
    does. The spread is the distance from the median to the 95th percentile.

    Raises:
        EvaluationError: the table has no such rows, or of several configurations; a part or a batch of one
            picture is missing; the utilities are of other resolutions.
    """
    rows = _rows(table, wanted)
    times: dict[int, dict[int, list[LatencyRow]]] = {}
    for row in rows:
        times.setdefault(row.resolution, {}).setdefault(row.batch, []).append(row)
    check_same(times, utilities, "measured time", "utility")
    return tuple(
        _point(resolution, utilities[resolution], batches, wanted.parts)
        for resolution, batches in sorted(times.items())
    )


def measured_plan(table: LatencyTable, wanted: Measurements) -> str | None:
    """The digest of the plan whose times are meant; None for the reference pipeline.

    Raises:
        EvaluationError: the table has no such rows, or of several configurations.
    """
    return _rows(table, wanted)[0].plan_digest


def measured_utilities(
    tables: Sequence[QualityTable], metric: str, plan_digest: str | None
) -> dict[int, float]:
    """Utilities by resolution: a score over the best one, or the lowest over a score where lower is better.

    Args:
        tables: of sets of pictures; each holds sets of one resolution.
        metric: a score's name in the table.
        plan_digest: of the plan that drew the sets; None if they are all of one.

    Raises:
        EvaluationError: no such score, several sets of one resolution, sets of other prompts, or a score that
            is not above 0.
    """
    rows = [row for table in tables for row in table.rows]
    scores: dict[int, Score] = {}
    prompts: dict[str, QualityRow] = {}
    for row in rows:
        if plan_digest is not None and row.plan_digest != plan_digest:
            continue
        if row.resolution in scores:
            raise EvaluationError(
                f"the quality tables have several sets of {row.resolution} pixels ({_sets(rows, row)}); "
                "name the digest of the plan that is served, or score its sets alone"
            )
        if (found := next((score for score in row.scores if score.metric == metric), None)) is not None:
            scores[row.resolution] = found
            prompts[row.prompts_digest] = row
    if not scores:
        known = sorted({score.metric for row in rows for score in row.scores})
        raise EvaluationError(
            f"the quality tables have no score {metric} of that plan; they have {', '.join(known) or 'none'}"
        )
    if len(prompts) > 1:
        sets = ", ".join(row.pictures for row in prompts.values())
        raise EvaluationError(
            f"{sets} were drawn from different lists of prompts or seeds, so their scores say nothing of "
            "their resolutions; draw each resolution from one list"
        )
    if bad := [f"{score.value:g}" for score in scores.values() if not score.value > 0]:
        raise EvaluationError(
            f"{metric} gives {', '.join(bad)}, and a utility is a share of the best score: choose a metric "
            "above 0 or give the utilities themselves"
        )
    higher = next(iter(scores.values())).higher_is_better
    values = {resolution: score.value if higher else 1 / score.value for resolution, score in scores.items()}
    best = max(values.values())
    return {resolution: value / best for resolution, value in sorted(values.items())}


def _rows(table: LatencyTable, wanted: Measurements) -> list[LatencyRow]:
    asked = {
        "source": wanted.source,
        "plan_digest": wanted.plan_digest,
        "target": wanted.target,
        "device": wanted.device,
        "steps": wanted.steps,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    stages = [row for row in table.rows if row.kind == "stage" and row.name in wanted.parts]
    rows = [row for row in stages if all(getattr(row, name) == value for name, value in given.items())]
    words = "".join(f" with {name} {value}" for name, value in given.items())
    if not rows:
        raise EvaluationError(
            f"the latency table has no times of {', '.join(wanted.parts)}{words}; it has "
            f"{_values(stages or table.rows)}. Measure them with `mixdq-eval latency`"
        )
    if len({tuple(getattr(row, name) for name in _TELLING) for row in rows}) > 1:
        raise EvaluationError(
            f"the latency table has several configurations{words}; they differ in {_values(rows)}: "
            "say which is served"
        )
    return rows


def _point(
    resolution: int, utility: float, batches: Mapping[int, Sequence[LatencyRow]], parts: tuple[str, ...]
) -> Point:
    typical: list[float] = []
    variance: list[float] = []
    for count in range(1, max(batches) + 1):
        rows = batches[min(batch for batch in batches if batch >= count)]
        if missing := set(parts) - {row.name for row in rows}:
            raise EvaluationError(
                f"the latency table has no times of {', '.join(sorted(missing))} at {resolution} pixels, "
                f"batch {rows[0].batch}; measure that configuration again"
            )
        typical.append(sum(row.median_us for row in rows) / 1e6)
        spreads_us = ((row.p95_us - row.median_us) / P95_SIGMAS for row in rows)
        variance.append(math.fsum((max(0.0, spread_us) / 1e6) ** 2 for spread_us in spreads_us))
    return Point(resolution, utility, tuple(typical), tuple(variance))


def _values(rows: Sequence[LatencyRow]) -> str:
    found = {name: sorted({str(getattr(row, name)) for row in rows}) for name in _TELLING}
    telling = {name: values for name, values in found.items() if len(values) > 1} or found
    return "; ".join(f"{name} {', '.join(values)}" for name, values in telling.items())


def _sets(rows: Iterable[QualityRow], like: QualityRow) -> str:
    return ", ".join(row.pictures for row in rows if row.resolution == like.resolution)
