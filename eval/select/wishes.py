"""What a user wishes of a plan, a resolution and a back end, and how far a point is from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT
from mixdq.configs.errors import EvaluationError
from mixdq.eval.select.points import Point, known_metric
from mixdq.eval.select.prefer import Prefer


@dataclass(frozen=True, slots=True, config=STRICT)
class Wishes:
    """Limits; None and empty for no such limit.

    Attributes:
        slo_ms: most that 95 of 100 batches of pictures may take.
        memory_mib: most peak memory, of what `MemoryRow.peak_mib` says.
        min_quality: by metric, in its full name, the least mean; the most for distances such as FID.
        targets: only these back ends.
        resolutions: only these, in pixels.
        prefer: what counts first.
    """

    slo_ms: float | None
    memory_mib: float | None
    min_quality: dict[str, float]
    targets: tuple[str, ...]
    resolutions: tuple[int, ...]
    prefer: Prefer


@dataclass(frozen=True, slots=True, config=STRICT)
class Violation:
    """A wish that a point does not meet.

    Attributes:
        wish: in words: `p95 at most 100 ms`.
        found: what the point has, in words.
        by: how far it is off, as a part of what was wished; None where it can't be measured in parts.
    """

    wish: str
    found: str
    by: float | None


def parse_min_quality(texts: Sequence[str], points: Sequence[Point]) -> dict[str, float]:
    """`SSIM (window 7)=0.95` or the beginning of a metric's name: `ssim=0.95`.

    Raises:
        EvaluationError: another form, or a metric that no point has or that is ambiguous.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            least = float(value)
        except ValueError:
            least = float("nan")
        if not name.strip() or least != least:
            raise EvaluationError(f"--min-quality {text!r} is no limit; write METRIC=VALUE, as in SSIM=0.95")
        found[known_metric(name.strip(), points)] = least
    return found


def check_targets(targets: Sequence[str], points: Sequence[Point]) -> None:
    """Refuses a back end that no point has.

    Raises:
        EvaluationError: says which there are.
    """
    there = sorted({point.target for point in points})
    if unknown := [target for target in targets if target not in there]:
        raise EvaluationError(
            f"no cell was measured on {', '.join(unknown)}; the grids have {', '.join(there)}"
        )


def violations(point: Point, wishes: Wishes) -> Iterator[Violation]:
    """The wishes that a point does not meet."""
    if wishes.targets and point.target not in wishes.targets:
        yield Violation(f"target {' or '.join(wishes.targets)}", point.target, None)
    if wishes.resolutions and point.resolution not in wishes.resolutions:
        sizes = " or ".join(map(str, wishes.resolutions))
        yield Violation(f"{sizes} pixels", f"{point.resolution} pixels", None)
    if wishes.slo_ms is not None and point.p95_ms > wishes.slo_ms:
        over = point.p95_ms / wishes.slo_ms - 1
        yield Violation(f"p95 at most {wishes.slo_ms:g} ms", f"{point.p95_ms:.1f} ms", over)
    if wishes.memory_mib is not None and point.peak_mib > wishes.memory_mib:
        over = point.peak_mib / wishes.memory_mib - 1
        yield Violation(f"peak memory at most {wishes.memory_mib:g} MiB", f"{point.peak_mib:.1f} MiB", over)
    for metric, limit in wishes.min_quality.items():
        yield from _quality(point, metric, limit)


def _quality(point: Point, metric: str, limit: float) -> Iterator[Violation]:
    score = point.score(metric)
    if score is None:
        yield Violation(f"{metric} {limit:g}", "not scored", None)
        return
    missing = limit - score.value if score.higher_is_better else score.value - limit
    if missing > 0:
        word = "at least" if score.higher_is_better else "at most"
        yield Violation(
            f"{metric} {word} {limit:g}", f"{score.value:.4g}", missing / abs(limit) if limit else None
        )
