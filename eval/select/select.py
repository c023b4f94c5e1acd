"""The choice of plan, resolution and back end under wishes, with its reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mixdq.configs.files import sha256_of_file
from mixdq.configs.grid_table import GRID_FILE, GridTable
from mixdq.configs.latency_table import common_versions
from mixdq.eval.grid.warnings import crowd_of
from mixdq.eval.select.pareto import pareto_set
from mixdq.eval.select.points import Origin, Point, preferred_metric
from mixdq.eval.select.prefer import Prefer
from mixdq.eval.select.selection import Judged, Selection
from mixdq.eval.select.wishes import Wishes, violations

_NO_QUALITY = (
    "no pictures were scored, so quality counts for nothing here: only time, memory and resolution do"
)


def read_grids(paths: Sequence[Path]) -> Mapping[Path, GridTable]:
    """Grids by their files' paths, each once.

    Args:
        paths: of files, or of folders that hold one.

    Raises:
        EvaluationError: a file that is no grid.
        StorageError: there is none.
    """
    files = dict.fromkeys(path / GRID_FILE if path.is_dir() else path for path in paths)
    return {file: GridTable.read(file) for file in files}


def select(tables: Mapping[Path, GridTable], points: Sequence[Point], wishes: Wishes) -> Selection:
    """Chooses among points.

    Of the points that meet all wishes and that no other of them beats in everything, the one that is first
    in what is preferred; then in quality, resolution, latency, memory, in this order. Quality is the loss
    against full precision of the same resolution where that was measured, and two points whose intervals
    don't tell them apart are equal in it.

    Args:
        tables: the grids, by path.
        points: of the grids; see `points_of`.
        wishes: with metrics in their full names.
    """
    metric = next(iter(wishes.min_quality), None) or preferred_metric(points)
    front = set(map(id, pareto_set(points, metric)))
    judged = tuple(Judged(point, id(point) in front, tuple(violations(point, wishes))) for point in points)
    fit = [one.point for one in judged if not one.violations]
    best = pareto_set(fit, metric)
    metric_of_fit = metric if best else None  # none of them was scored
    chosen, why = _choose(best or fit, metric_of_fit, wishes.prefer) if fit else (None, ())
    nearest = None if chosen else _nearest(judged)
    crowds = (line for table in tables.values() for line in crowd_of(table.measured, table.machine))
    reasons = (*crowds, *_exclusions(judged), *why, *(_shortfall(nearest) if nearest else ()))
    if metric is None:
        reasons = (_NO_QUALITY, *reasons)
    return Selection(wishes, metric, judged, chosen, nearest, reasons, _origin(tables))


def _choose(points: Sequence[Point], metric: str | None, prefer: Prefer) -> tuple[Point, tuple[str, ...]]:
    """The first point, and what decided."""
    order = [prefer, *(one for one in Prefer if one is not prefer)]
    left, why = list(points), []
    if len(points) > 1:
        why.append(f"{len(points)} of them are beaten by no other in everything")
    for criterion in order:
        if len(left) == 1:
            break
        best, words = _best(left, criterion, metric)
        if len(best) < len(left):
            why.append(
                f"by {criterion}: {words}" + (f"; {len(best)} are equal in it" if len(best) > 1 else "")
            )
        left = best
    return left[0], (*why, f"chosen: {left[0].title} ({left[0].summary})")


def _best(points: Sequence[Point], criterion: Prefer, metric: str | None) -> tuple[list[Point], str]:
    """The points that a criterion does not tell from the best, and the best in words."""
    if criterion is Prefer.RESOLUTION:
        most = max(point.resolution for point in points)
        return [point for point in points if point.resolution == most], f"{most} pixels is the highest"
    if criterion is Prefer.LATENCY:
        least = min(point.p95_ms for point in points)
        return [point for point in points if point.p95_ms == least], f"p95 {least:.1f} ms is the lowest"
    if criterion is Prefer.MEMORY:
        least = min(point.peak_mib for point in points)
        return [point for point in points if point.peak_mib == least], f"{least:.1f} MiB is the lowest peak"
    if metric is None:
        return list(points), ""
    goods = [(point, _goodness(point, metric)) for point in points]
    winner, (best, _) = max(goods, key=lambda pair: pair[1][0])
    equal = [point for point, (_, upper) in goods if upper >= best]
    return equal, f"{winner.plan} at {winner.resolution} has the best {metric}, {_in_words(winner, metric)}"


def _goodness(point: Point, metric: str) -> tuple[float, float]:
    """How good a point is, the more the better, and the most that it may be by the interval."""
    score = point.score(metric)
    assert score is not None  # points without the score are in no Pareto set
    mean, low, high = score.against_reference or (score.value, score.low, score.high)
    low, high = (mean if low is None else low), (mean if high is None else high)
    return (mean, high) if score.higher_is_better else (-mean, -low)


def _in_words(point: Point, metric: str) -> str:
    score = point.score(metric)
    assert score is not None
    if score.against_reference is None:
        return f"{score.value:.4g}"
    return f"{score.value:.4g} ({score.against_reference[0]:+.4f} to full precision)"


def _exclusions(judged: Sequence[Judged]) -> Iterator[str]:
    """What each wish left out, and how many meet all."""
    counts: dict[str, list[str]] = {}
    for one in judged:
        for violation in one.violations:
            counts.setdefault(violation.wish, []).append(f"{one.point.plan} at {one.point.resolution}")
    for wish, names in counts.items():
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        yield f"{wish} excludes {len(names)} of {len(judged)}: {shown}"
    fit = sum(not one.violations for one in judged)
    yield f"{fit} of {len(judged)} {'meets' if fit == 1 else 'meet'} all wishes"


def _nearest(judged: Sequence[Judged]) -> Judged | None:
    """The point whose worst shortfall is the least part of a wish; none that is off in what has no parts."""
    measurable = [one for one in judged if all(violation.by is not None for violation in one.violations)]

    def shortfall(one: Judged) -> tuple[float, float]:
        parts = [violation.by or 0.0 for violation in one.violations]
        return max(parts), sum(parts)

    return min(measurable, key=shortfall, default=None)


def _shortfall(nearest: Judged) -> Iterator[str]:
    words = "; ".join(
        f"{violation.found} where {violation.wish} was wished ({violation.off})"
        for violation in nearest.violations
    )
    yield f"nearest: {nearest.point.title}: {words}"


def _origin(tables: Mapping[Path, GridTable]) -> Origin:
    first = next(iter(tables.values()))
    return Origin(
        grids={str(path): sha256_of_file(path) for path in tables},
        model=first.model.name,
        count=first.count,
        machine=first.machine,
        versions=common_versions(list(tables.values())),
    )
