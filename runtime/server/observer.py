"""Who is told what happens in the service: metrics and logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mixdq.runtime.policy.request import Outcome, Request
from mixdq.runtime.server.supervisor import Phase


class Observer(Protocol):
    """Is called in the loop's thread, and returns at once."""

    def arrived(self, count: int) -> None:
        """So many pictures were asked for, in one order."""

    def refused(self, reason: str, count: int) -> None:
        """They were not accepted, for one of a few reasons."""

    def settled(
        self,
        request: Request,
        outcome: Outcome,
        wait_s: float,
        service_s: float | None,
        resolution: int | None,
    ) -> None:
        """An accepted picture ended.

        Args:
            request: which.
            outcome: how.
            wait_s: from its arrival until its last batch began, or until now if there was none.
            service_s: what the worker took for its batch; None here and below if it was not made.
            resolution: pixels of each side.
        """

    def batch(self, resolution: int, size: int, service_s: float) -> None:
        """A worker made so many pictures together."""

    def worker_changed(self, number: int, phase: Phase, reason: str | None) -> None:
        """A worker's life began, got ready or ended; the reason why it was lost last, if it ever was.

        That it begins and ends batches is said by `batch` alone.
        """


class Observers:
    """Tells several."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def arrived(self, count: int) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.arrived(count)

    def refused(self, reason: str, count: int) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.refused(reason, count)

    def settled(
        self,
        request: Request,
        outcome: Outcome,
        wait_s: float,
        service_s: float | None,
        resolution: int | None,
    ) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.settled(request, outcome, wait_s, service_s, resolution)

    def batch(self, resolution: int, size: int, service_s: float) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.batch(resolution, size, service_s)

    def worker_changed(self, number: int, phase: Phase, reason: str | None) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.worker_changed(number, phase, reason)
