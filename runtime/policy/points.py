"""What can be served: the resolutions, how long each takes and what its pictures are worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mixdq.configs.errors import EvaluationError, RequestError


@dataclass(frozen=True, slots=True)
class Point:
    """One resolution of the engines that are served.

    Attributes:
        resolution: pixels of each side.
        utility: what one of its pictures is worth, above 0; measured, or given by the operator.
        typical_s: seconds of a batch of 1, 2, … pictures; as many as the largest batch holds.
        variance_s2: square of the standard deviation of each, in seconds squared.
    """

    resolution: int
    utility: float
    typical_s: tuple[float, ...]
    variance_s2: tuple[float, ...]

    @property
    def max_batch(self) -> int:
        """Pictures of the largest batch."""
        return len(self.typical_s)


@dataclass(frozen=True, slots=True)
class Dominated:
    """A point that no one should be given.

    Attributes:
        point: which.
        by: another one that is no slower and no worse.
    """

    point: Point
    by: Point

    def __str__(self) -> str:
        slow, fast = self.point, self.by
        return (
            f"{slow.resolution} pixels ({slow.typical_s[0] * 1e3:.1f} ms, utility {slow.utility:g}) is no "
            f"faster and no better than {fast.resolution} ({fast.typical_s[0] * 1e3:.1f} ms, utility "
            f"{fast.utility:g}): served only where it is asked for by its size"
        )


@dataclass(frozen=True, slots=True)
class Menu:
    """The points that are served.

    Attributes:
        points: those that adapting may choose from, fastest first; each is better than those before it.
        dominated: the others, in ascending resolution.
    """

    points: tuple[Point, ...]
    dominated: tuple[Dominated, ...] = ()

    @property
    def resolutions(self) -> tuple[int, ...]:
        """All that may be asked for by size, ascending."""
        return tuple(sorted(self._by_resolution()))

    def find(self, resolution: int) -> Point:
        """The point of a resolution.

        Raises:
            RequestError: there is none.
        """
        known = self._by_resolution()
        if resolution not in known:
            sizes = ", ".join(map(str, sorted(known)))
            raise RequestError(f"pictures of {resolution} pixels are not served, but {sizes}: ask for one")
        return known[resolution]

    def allowed(self, size: int | None, *, downgrade: bool) -> tuple[Point, ...]:
        """What a request may be given, fastest first.

        Args:
            size: pixels; None for `auto`, which may become any of `points`.
            downgrade: whether a smaller picture may be given than the size that was asked for.

        Raises:
            RequestError: the size is not served.
        """
        if size is None:
            return self.points
        asked = self.find(size)
        smaller = [point for point in self.points if downgrade and point.resolution < size]
        return (*(point for point in smaller if point.typical_s[0] < asked.typical_s[0]), asked)

    def _by_resolution(self) -> dict[int, Point]:
        return {
            point.resolution: point for point in (*self.points, *(found.point for found in self.dominated))
        }


def make_menu(points: Iterable[Point]) -> Menu:
    """Sorts points and finds the dominated ones.

    Raises:
        EvaluationError: there is none, two have one resolution, or a figure is out of its range.
    """
    ordered = sorted(points, key=lambda point: (point.typical_s[0], -point.utility, point.resolution))
    if not ordered:
        raise EvaluationError("there is no resolution to serve; give at least one with its service time")
    for point in ordered:
        _check(point)
    if len({point.resolution for point in ordered}) < len(ordered):
        sizes = ", ".join(str(point.resolution) for point in ordered)
        raise EvaluationError(f"a resolution occurs twice among {sizes}; give each once")
    useful: list[Point] = []
    dominated: list[Dominated] = []
    for point in ordered:
        if useful and useful[-1].utility >= point.utility:
            dominated.append(Dominated(point, useful[-1]))
        else:
            useful.append(point)
    return Menu(tuple(useful), tuple(sorted(dominated, key=lambda found: found.point.resolution)))


def plain_points(
    service_s: Mapping[int, float], utilities: Mapping[int, float], noise: float
) -> tuple[Point, ...]:
    """Points of one picture at a time.

    Args:
        service_s: seconds by resolution.
        utilities: by resolution.
        noise: standard deviation of a service time, as a share of it.

    Raises:
        EvaluationError: a resolution has a time and no utility, or the other way round.
    """
    check_same(service_s, utilities, "service time", "utility")
    return tuple(
        Point(resolution, utilities[resolution], (seconds,), ((noise * seconds) ** 2,))
        for resolution, seconds in sorted(service_s.items())
    )


def check_same(first: Iterable[int], second: Iterable[int], one: str, other: str) -> None:
    """Refuses two tables of different resolutions.

    Raises:
        EvaluationError: a resolution is in one and not in the other.
    """
    left, right = set(first), set(second)
    for there, away, has, lacks in ((left, right, one, other), (right, left, other, one)):
        if missing := sorted(there - away):
            sizes = ", ".join(map(str, missing))
            raise EvaluationError(f"{sizes} pixels: a {has} is known and no {lacks}; give both, or neither")


def _check(point: Point) -> None:
    what = f"{point.resolution} pixels"
    if point.resolution < 1:
        raise EvaluationError(f"a resolution is a positive number of pixels, not {point.resolution}")
    if not 0 < point.utility < float("inf"):
        raise EvaluationError(f"{what}: a utility is a number above 0, not {point.utility:g}")
    if not point.typical_s or any(not 0 < seconds < float("inf") for seconds in point.typical_s):
        times = ", ".join(f"{1e3 * seconds:g}" for seconds in point.typical_s) or "none"
        raise EvaluationError(f"{what}: service times are milliseconds above 0, not {times}")
    if len(point.variance_s2) != len(point.typical_s) or any(one < 0 for one in point.variance_s2):
        raise EvaluationError(f"{what}: each batch's service time has one spread, 0 or more")
