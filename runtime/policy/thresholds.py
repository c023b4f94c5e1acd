"""The resolution by the number of those that wait, with hysteresis."""

from __future__ import annotations

from dataclasses import dataclass

from mixdq.configs.errors import EvaluationError
from mixdq.runtime.policy.points import Point
from mixdq.runtime.policy.policy import Batch, Refusal, Situation, Worker, fullest_batch
from mixdq.runtime.policy.request import Request


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The best point while few wait, a faster one for each bound that is passed.

    With bounds (2, 5): up to 2 waiting the best, up to 5 the next, beyond the fastest. A better point than
    the last one is taken only when `hysteresis` fewer wait than its bound, so that a queue that swings by
    that many does not change the resolution at every step.

    Attributes:
        points: fastest first; one more than there are bounds.
        bounds: numbers of requests that wait behind the one to be served, ascending.
        hysteresis: requests.
    """

    points: tuple[Point, ...]
    bounds: tuple[int, ...]
    hysteresis: int

    def __post_init__(self) -> None:
        """Checks the bounds.

        Raises:
            EvaluationError: they are not ascending, or not one fewer than the points; no hysteresis that is.
        """
        if len(self.bounds) != len(self.points) - 1:
            raise EvaluationError(
                f"{len(self.points)} resolutions need {len(self.points) - 1} thresholds, not "
                f"{len(self.bounds)} ({', '.join(map(str, self.bounds)) or 'none'})"
            )
        if any(low >= high for low, high in zip((-1, *self.bounds), self.bounds, strict=False)):
            raise EvaluationError(
                "thresholds are ascending numbers of waiting requests, not "
                f"{', '.join(map(str, self.bounds))}"
            )
        if self.hysteresis < 0:
            raise EvaluationError(f"the hysteresis is 0 requests or more, not {self.hysteresis}")

    @property
    def name(self) -> str:
        """`thresholds 2, 5`."""
        return f"thresholds {', '.join(map(str, self.bounds))}"

    def admit(self, request: Request, place: int, situation: Situation) -> Refusal | None:
        """Everyone."""
        return None

    def is_hopeless(self, request: Request, situation: Situation) -> bool:
        """No one."""
        return False

    def choose(self, worker: Worker, situation: Situation) -> Batch:
        """The first in the queue, with those that fit into its batch."""
        allowed = situation.waiting[0].allowed
        level = self.level(len(situation.waiting) - 1, situation.level)
        # A request of a fixed size gets it; one that may be smaller at most what the level says.
        point = max(
            (one for one in allowed if one.typical_s[0] <= level.typical_s[0]), key=_time, default=None
        )
        return fullest_batch(point or allowed[0], worker, situation)

    def level(self, waiting: int, last: Point | None) -> Point:
        """The point for a number of waiting requests, after the last one."""
        now = self._step(waiting)
        if last not in self.points or now <= (before := self.points.index(last)):
            return self.points[now]
        return self.points[max(before, self._step(waiting + self.hysteresis))]

    def _step(self, waiting: int) -> int:
        return len(self.bounds) - sum(waiting > bound for bound in self.bounds)


def _time(point: Point) -> float:
    return point.typical_s[0]
