"""The points to choose from: measured cells of one or several grids that can stand side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT
from mixdq.configs.errors import EvaluationError
from mixdq.configs.grid_table import GridTable
from mixdq.configs.latency_table import common_versions
from mixdq.configs.quality_table import Score

_PREFERRED = ("CLIP", "emoji alignment", "SSIM (window", "SSIM", "SQNR", "PSNR")
"""Beginnings of the metrics that quality is read from if no wish names one: those against prompts first."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Point:
    """A plan at a resolution on a back end, with its figures.

    Attributes:
        plan: the plan's name in its grid.
        summary: the plan in words.
        quantizes: whether any layer is quantized.
        resolution: pixels.
        target: of the back end.
        device: where it computes.
        batch: pictures at once.
        p50_ms: median time of a batch.
        p95_ms: 95 of 100 batches took no longer.
        peak_mib: see `MemoryRow.peak_mib`.
        scores: of its pictures.
    """

    plan: str
    summary: str
    quantizes: bool
    resolution: int
    target: str
    device: str
    batch: int
    p50_ms: float
    p95_ms: float
    peak_mib: float
    scores: tuple[Score, ...]

    @property
    def title(self) -> str:
        """For people."""
        together = f", batch {self.batch}" if self.batch > 1 else ""
        return f"{self.plan} at {self.resolution} pixels, {self.target} on {self.device}{together}"

    def score(self, metric: str) -> Score | None:
        """The score of a metric, by its full name."""
        return next((score for score in self.scores if score.metric == metric), None)


@dataclass(frozen=True, slots=True, config=STRICT)
class Origin:
    """Where the points came from: grids by path and SHA-256, of one machine and one set of prompts."""

    grids: Mapping[str, str]
    model: str
    count: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]


def points_of(tables: Mapping[Path, GridTable]) -> tuple[Point, ...]:
    """The measured cells of grids.

    Raises:
        EvaluationError: grids of other models, machines, versions or pictures; a cell that is in two of them;
            or nothing was measured.
    """
    check_alike(tables)
    points, seen = [], dict[object, Path]()
    for path, table in tables.items():
        for cell in table.measured:
            if (first := seen.setdefault(cell.place, path)) != path:
                raise EvaluationError(f"{cell.title} is in {first} and in {path}; leave one of them out")
            plan = table.plan(cell.plan)
            points.append(
                Point(
                    plan=cell.plan,
                    summary=plan.summary,
                    quantizes=plan.quantizes,
                    resolution=cell.resolution,
                    target=cell.target,
                    device=cell.device,
                    batch=cell.batch,
                    p50_ms=round(cell.p50_ms, 3),
                    p95_ms=round(cell.p95_ms, 3),
                    peak_mib=round(cell.peak_mib, 1),
                    scores=cell.scores,
                )
            )
    if not points:
        raise EvaluationError("no cell of the grids was measured; run `mixdq-eval grid` again and look why")
    return tuple(points)


def check_alike(tables: Mapping[Path, GridTable]) -> None:
    """Refuses grids whose figures can't stand side by side.

    Raises:
        EvaluationError: none was given, or they differ in machine, versions, model, pictures or steps.
    """
    common_versions(list(tables.values()))
    (first, one), *others = tables.items()
    for path, other in others:
        for what, here, there in (
            ("model", one.model.digest, other.model.digest),
            ("number of pictures", one.count, other.count),
            ("prompts", one.prompts_digest, other.prompts_digest),
            ("steps", one.steps, other.steps),
        ):
            if here != there:
                raise EvaluationError(
                    f"{first} and {path} differ in {what} ({str(here)[:12]} and {str(there)[:12]}), so "
                    "their cells can't be chosen from together; measure one of them again, or select from "
                    "each alone"
                )


def known_metric(name: str, least: float, points: Sequence[Point]) -> str:
    """The metric whose name is or begins with `name`, in capitals or not.

    Args:
        name: as the user wrote it.
        least: what is wished of it, for the error's words.
        points: of the grids.

    Raises:
        EvaluationError: there is none, or several.
    """
    metrics = metrics_of(points)
    found = [metric for metric in metrics if metric.lower() == name.lower()]
    found = found or [metric for metric in metrics if metric.lower().startswith(name.lower())]
    if len(found) != 1:
        if found:
            likely = next((one for begin in _PREFERRED for one in found if one.startswith(begin)), found[0])
            raise EvaluationError(
                f"the metric {name!r} names several: {', '.join(found)}; "
                f'write --min-quality "{likely}={least:g}"'
            )
        there = ", ".join(metrics) or "none at all"
        raise EvaluationError(f"the metric {name!r} was not measured; the grids have {there}")
    return found[0]


def metrics_of(points: Sequence[Point]) -> tuple[str, ...]:
    """The metrics that any point was scored by."""
    return tuple(dict.fromkeys(score.metric for point in points for score in point.scores))


def preferred_metric(points: Sequence[Point]) -> str | None:
    """The metric that quality is read from if no wish names one; None if nothing was scored."""
    metrics = metrics_of(points)
    return next((name for begin in _PREFERRED for name in metrics if name.startswith(begin)), None)
