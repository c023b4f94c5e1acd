"""Tickets and their pictures: takes orders into the queue, and ends each when its pictures have."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from mixdq.configs.errors import RequestError
from mixdq.runtime.policy.dispatcher import Dispatcher
from mixdq.runtime.policy.points import Menu
from mixdq.runtime.policy.policy import Batch
from mixdq.runtime.policy.request import Outcome, Request
from mixdq.runtime.server.attempts import Attempts
from mixdq.runtime.server.observer import Observer
from mixdq.runtime.server.orders import Order, OrderError, ShedError, UnmakeableError
from mixdq.runtime.server.recent import Recent
from mixdq.runtime.server.ticket import Ticket
from mixdq.runtime.work.job import Made

_BYTES_OF_ONE = 2048
"""What a waiting request holds beside its prompt."""


class Desk:
    """Who waits for what.

    The dispatcher tells it how requests end while it is at work on its queue; `close_tickets` then acts on
    that, once the dispatcher is done.

    Attributes:
        recent: how long the last pictures took.
    """

    def __init__(self, numbers: Iterator[int], objective_s: float, steps: int, observer: Observer) -> None:
        """Knows no one.

        Args:
            numbers: the next requests'.
            objective_s: from arrival to picture, of orders that name none.
            steps: denoising steps of every picture.
            observer: is told how each ends.
        """
        self._numbers, self._objective_s, self._steps = numbers, objective_s, steps
        self._observer = observer
        self._attempts: dict[int, Attempts] = {}
        self._settled: deque[tuple[Request, Outcome, float]] = deque()
        self.recent = Recent()

    def __len__(self) -> int:
        """Pictures that are waited for."""
        return len(self._attempts)

    def requests(self, order: Order, menu: Menu, now_s: float) -> list[Request]:
        """What the queue is to hold for an order, one a picture.

        Raises:
            RequestError: a size, a number of steps or a text that can't be served.
        """
        if order.steps != self._steps:
            raise RequestError(
                f"pictures are made in {self._steps} denoising steps here, not in {order.steps}; leave the "
                "number out"
            )
        allowed = menu.allowed(order.size, downgrade=order.downgrade)
        objective_s = self._objective_s if order.objective_s is None else order.objective_s
        byte_count = _BYTES_OF_ONE + sys.getsizeof(order.prompt)
        return [
            Request(next(self._numbers), now_s, now_s + objective_s, allowed, order.priority, byte_count)
            for _ in order.seeds
        ]

    def accept(self, order: Order, requests: Sequence[Request], cancel: Callable[[Ticket], None]) -> Ticket:
        """They are in the queue; `cancel` is what the ticket's `cancel` does."""
        ticket = Ticket(order, tuple(request.number for request in requests), cancel)
        for place, request in enumerate(requests):
            self._attempts[request.number] = Attempts(ticket, place, request)
        return ticket

    def begin(self, batch: Batch, now_s: float) -> tuple[list[str], list[int]]:
        """Prompts and seeds of a batch that a worker is given."""
        found = [self._attempts[request.number] for request in batch.requests]
        for one in found:
            one.begin(batch, now_s)
        return [one.ticket.order.prompt for one in found], [one.seed for one in found]

    def again(self, requests: Sequence[Request]) -> list[Attempts]:
        """They wait again, as these."""
        found = [self._attempts[request.number] for request in requests]
        for one, request in zip(found, requests, strict=True):
            one.request = request
        return found

    def deliver(self, batch: Batch, made: Made) -> None:
        """A batch's pictures, before the dispatcher ends its requests."""
        for request, pixels in zip(batch.requests, made.pictures, strict=True):
            # It is gone if its client is.
            if (one := self._attempts.get(request.number)) is not None:
                one.pixels, one.service_s = pixels, made.service_s

    def blame(self, requests: Sequence[Request], error: OrderError) -> None:
        """Why they are about to end with an error."""
        for request in requests:
            if (one := self._attempts.get(request.number)) is not None:
                one.error = error

    def give_up(self, error: OrderError) -> None:
        """Why all are about to end with an error."""
        for one in self._attempts.values():
            one.error = error

    def settle(self, request: Request, outcome: Outcome, now_s: float) -> None:
        """One has ended; for the dispatcher to call."""
        self._settled.append((request, outcome, now_s))

    def close_tickets(self, dispatcher: Dispatcher) -> None:
        """Gives pictures to those whose are there; a ticket that lost one needs no other."""
        while self._settled:
            request, outcome, now_s = self._settled.popleft()
            one = self._attempts.pop(request.number)
            self._tell(one, outcome, now_s)
            if outcome in (Outcome.DONE, Outcome.LATE):
                self.recent.add(now_s, now_s - request.arrival_s)
                one.ticket.put(one.place, one.picture(outcome, now_s))
            elif one.ticket.end(_error(one, outcome)):
                self.cancel(one.ticket, dispatcher, now_s)

    def cancel(self, ticket: Ticket, dispatcher: Dispatcher, now_s: float) -> None:
        """No one waits for a ticket's pictures any more; `close_tickets` is to follow."""
        for number in ticket.numbers:
            if (one := self._attempts.get(number)) is not None:
                dispatcher.cancel(one.request, now_s)

    def _tell(self, one: Attempts, outcome: Outcome, now_s: float) -> None:
        made = one.batch.point.resolution if one.batch is not None and one.service_s is not None else None
        self._observer.settled(one.request, outcome, one.wait_s(now_s), one.service_s, made)


def _error(one: Attempts, outcome: Outcome) -> OrderError | None:
    """What to say; None to who went away."""
    if outcome is Outcome.CANCELLED:
        return None
    if outcome is Outcome.SHED:
        due_s = one.request.deadline_s - one.request.arrival_s
        return ShedError(
            f"the picture could no longer be made within {due_s:.3g} s; ask again, or allow it more time"
        )
    return one.error or UnmakeableError("the picture could not be made; ask again")
