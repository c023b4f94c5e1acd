"""What a user wishes of a plan, a resolution and a back end, and how far a point is from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT
from mixdq.configs.errors import EvaluationError
from mixdq.eval.select.points import Point, known_metric
from mixdq.eval.select.prefer import Prefer

_TIMES = 9.0
"""So many limits beyond a limit are told in times, less in percent."""

_SHOWN = 0.05
"""Percent that one decimal shows."""


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

    @property
    def off(self) -> str:
        """How far it is off: `off by 12.3%`, `off by 0.0012%`, `off by 126 times the limit`; or empty."""
        if self.by is None:
            return ""
        if self.by >= _TIMES:
            return f"off by {self.by:.0f} times the limit"
        percent = 100 * self.by
        return f"off by {percent:.1f}%" if percent >= _SHOWN else f"off by {percent:.2g}%"


def parse_min_quality(texts: Sequence[str], points: Sequence[Point]) -> dict[str, float]:
    """`SSIM (window 7)=0.95` or the beginning of a metric's name: `psnr=30`.

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
            raise EvaluationError(f"--min-quality {text!r} is no limit; write METRIC=VALUE, as in PSNR=30")
        found[known_metric(name.strip(), least, points)] = least
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


def check_resolutions(resolutions: Sequence[int], points: Sequence[Point]) -> None:
    """Refuses a resolution that no point has.

    Raises:
        EvaluationError: says which there are.
    """
    there = sorted({point.resolution for point in points})
    if unknown := [resolution for resolution in resolutions if resolution not in there]:
        raise EvaluationError(
            f"no cell was measured at {', '.join(map(str, unknown))} pixels; the grids have "
            f"{', '.join(map(str, there))}"
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
        yield Violation(
            f"p95 at most {wishes.slo_ms:g} ms", f"{_apart(point.p95_ms, wishes.slo_ms, 1, 'f')} ms", over
        )
    if wishes.memory_mib is not None and point.peak_mib > wishes.memory_mib:
        over = point.peak_mib / wishes.memory_mib - 1
        found = _apart(point.peak_mib, wishes.memory_mib, 1, "f")
        yield Violation(f"peak memory at most {wishes.memory_mib:g} MiB", f"{found} MiB", over)
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
        by = missing / abs(limit) if limit else None
        yield Violation(f"{metric} {word} {limit:g}", _apart(score.value, limit, 4, "g"), by)


def _apart(value: float, limit: float, digits: int, kind: str) -> str:
    """A value with so many digits that it is not written as the limit is."""
    while float(text := f"{value:.{digits}{kind}}") == limit and value != limit:
        digits += 1
    return text
