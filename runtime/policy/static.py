"""One resolution for all that adapts; who waits is served in order, in time or not."""

from __future__ import annotations

from dataclasses import dataclass

from mixdq.runtime.policy.points import Point
from mixdq.runtime.policy.policy import Batch, Refusal, Situation, Worker, fullest_batch
from mixdq.runtime.policy.request import Request


@dataclass(frozen=True, slots=True)
class Static:
    """Serves one point.

    Attributes:
        point: for every request that may be given it; others get the best that they allow.
    """

    point: Point

    @property
    def name(self) -> str:
        """`static 512`."""
        return f"static {self.point.resolution}"

    def admit(self, request: Request, place: int, situation: Situation) -> Refusal | None:
        """Everyone."""
        return None

    def is_hopeless(self, request: Request, situation: Situation) -> bool:
        """No one."""
        return False

    def choose(self, worker: Worker, situation: Situation) -> Batch:
        """The first in the queue, with those that fit into its batch."""
        allowed = situation.waiting[0].allowed
        point = self.point if self.point in allowed else allowed[-1]
        return fullest_batch(point, worker, situation)
