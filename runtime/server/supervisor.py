"""When a worker is given up, and when another one is started in its place: decisions, without timers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What a worker does."""

    LOADING = "loading"
    READY = "ready"
    BUSY = "busy"
    ENDING = "ending"
    """It was killed, and its end is waited for."""
    LOST = "lost"
    """It is gone, and will be started again."""
    STOPPED = "stopped"


class Action(StrEnum):
    """What is due."""

    START = "start"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a worker may take, and how long to wait before another is started.

    Attributes:
        loading_s: until it is ready.
        hang_floor_s: for a batch, whatever is expected of it.
        hang_factor: for a batch, over what is expected of it.
        first_rest_s: before the start after a loss; twice as long after each further one.
        longest_rest_s: at most.
        well_s: after so long a life earlier losses are forgotten.
    """

    loading_s: float = 600.0
    hang_floor_s: float = 10.0
    hang_factor: float = 10.0
    first_rest_s: float = 0.5
    longest_rest_s: float = 60.0
    well_s: float = 60.0


class Supervisor:
    """The phases of one worker, over all of its lives.

    Attributes:
        phase: now.
        restarts: lives after the first.
        due_s: when `act` has something to say; infinite if never.
        reason: why it was lost last; None if it never was.
    """

    __slots__ = ("_loaded_s", "_losses", "_patience", "_since_s", "due_s", "phase", "reason", "restarts")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self.phase = Phase.STOPPED
        self.restarts = 0
        self.due_s = math.inf
        self.reason: str | None = None
        self._losses = 0
        self._loaded_s = 0.0
        self._since_s = 0.0

    def start(self, now_s: float) -> None:
        """A life begins."""
        self.restarts += self.phase is Phase.LOST
        self._since_s = now_s
        self._turn(Phase.LOADING, now_s + self._patience.loading_s)

    def ready(self, now_s: float) -> None:
        """It has loaded."""
        self._loaded_s, self._since_s = now_s - self._since_s, now_s
        self._turn(Phase.READY)

    def begin(self, now_s: float, expected_s: float) -> None:
        """It is given a batch."""
        patience = self._patience
        self._turn(Phase.BUSY, now_s + max(patience.hang_floor_s, patience.hang_factor * expected_s))

    def rest(self) -> None:
        """Its batch has ended."""
        self._turn(Phase.READY)

    def act(self, now_s: float) -> Action | None:
        """What is due at this time; a worker that is to be killed is ending from now on."""
        if now_s < self.due_s:
            return None
        if self.phase is Phase.LOST:
            self.due_s = math.inf
            return Action.START
        limit_s = self.due_s - self._since_s if self.phase is Phase.LOADING else None
        self.reason = (
            "it hung: its batch took far longer than expected"
            if limit_s is None
            else f"it was not ready after {limit_s:g} s"
        )
        self._turn(Phase.ENDING)
        return Action.KILL

    def lose(self, now_s: float, reason: str) -> float:
        """It is gone.

        Returns:
            When another is expected to be ready.
        """
        patience = self._patience
        if self.phase is not Phase.ENDING:
            self.reason = reason
        lived_well = self.phase is not Phase.LOADING and now_s - self._since_s >= patience.well_s
        self._losses = 1 if lived_well else self._losses + 1
        rest_s = min(patience.longest_rest_s, patience.first_rest_s * 2.0 ** min(self._losses - 1, 60))
        self._turn(Phase.LOST, now_s + rest_s)
        return now_s + rest_s + self._loaded_s

    def stop(self) -> None:
        """It is wanted no more."""
        self._turn(Phase.STOPPED)

    def _turn(self, phase: Phase, due_s: float = math.inf) -> None:
        self.phase, self.due_s = phase, due_s
