"""A request that waits for its pictures, and how it can end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mixdq.runtime.policy.points import Point


class Outcome(StrEnum):
    """How an accepted request ended; each ends in exactly one of these."""

    DONE = "done"
    """Its pictures were made by its deadline."""
    LATE = "late"
    """They were made after it."""
    SHED = "shed"
    """It was dropped while it waited, because its deadline could no longer be met."""
    CANCELLED = "cancelled"
    """Its client went away."""
    ERROR = "error"
    """It could not be served."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One picture that is asked for.

    Attributes:
        number: of its own; counts up with the arrivals.
        arrival_s: when it came, on the clock that all of these times are on.
        deadline_s: when its picture is due; infinite if it has none.
        allowed: what it may be given, fastest first (`Menu.allowed`).
        priority: its class; a lower number goes first.
        byte_count: what it holds of memory while it waits.
        alone: whether it is served in a batch of one: it, or one beside it, ended the last one.
    """

    number: int
    arrival_s: float
    deadline_s: float
    allowed: tuple[Point, ...]
    priority: int = 0
    byte_count: int = 0
    alone: bool = False

    @property
    def order(self) -> tuple[int, float, int]:
        """Where it stands in the queue: by class, then by deadline, then by arrival."""
        return (self.priority, self.deadline_s, self.number)
