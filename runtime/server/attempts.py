"""What is known of each picture that was accepted, from its order to its end."""

from __future__ import annotations

from dataclasses import dataclass

from mixdq.runtime.policy.policy import Batch
from mixdq.runtime.policy.request import Outcome, Request
from mixdq.runtime.server.orders import OrderError, Picture
from mixdq.runtime.server.ticket import Ticket
from mixdq.runtime.work.job import Pixels

MOST_DEATHS = 2
"""Workers that a request may end."""


@dataclass(slots=True)
class Attempts:
    """One picture of an order.

    Attributes:
        ticket: of the order.
        place: in the order.
        request: as the queue holds it now.
        count: times that it was given to a worker.
        deaths: of workers that had it.
        started_s: when the last one began.
        batch: the last one.
        pixels: what was made.
        service_s: what the worker took for it.
        error: why it could not be made.
    """

    ticket: Ticket
    place: int
    request: Request
    count: int = 0
    deaths: int = 0
    started_s: float | None = None
    batch: Batch | None = None
    pixels: Pixels | None = None
    service_s: float | None = None
    error: OrderError | None = None

    @property
    def seed(self) -> int:
        """That it is drawn from."""
        return self.ticket.order.seeds[self.place]

    def begin(self, batch: Batch, now_s: float) -> None:
        """It is given to a worker."""
        self.count += 1
        self.batch, self.started_s = batch, now_s

    def wait_s(self, now_s: float) -> float:
        """Until its last batch began; until now if there was none."""
        return (now_s if self.started_s is None else self.started_s) - self.request.arrival_s

    def picture(self, outcome: Outcome, now_s: float) -> Picture:
        """What was made."""
        assert self.batch is not None
        assert self.pixels is not None
        assert self.service_s is not None
        return Picture(
            pixels=self.pixels,
            seed=self.seed,
            size=self.batch.point.resolution,
            outcome=outcome,
            wait_s=self.wait_s(now_s),
            service_s=self.service_s,
            batch=len(self.batch.requests),
            attempts=self.count,
        )
