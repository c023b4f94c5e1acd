"""The service: orders in, pictures out, over one bundle after another.

Everything in it belongs to one asyncio loop and is touched from its thread alone; nothing waits, so nothing
is locked.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from mixdq.configs.errors import MachineError
from mixdq.runtime.policy.dispatcher import Tally
from mixdq.runtime.policy.request import Outcome
from mixdq.runtime.server.blueprint import Blueprint
from mixdq.runtime.server.generation import Generation
from mixdq.runtime.server.observer import Observer, Observers
from mixdq.runtime.server.orders import NotServingError, Order, PoisonError
from mixdq.runtime.server.status import State, Status, worker_status
from mixdq.runtime.server.ticket import Ticket

_END_S = 15.0
"""Workers are killed before that; it is only for those that the system does not let go of."""
_NOT_SERVING = {
    State.LOADING: "the server is loading its engines; try again in a moment",
    State.DRAINING: "the server is shutting down; ask another one",
    State.STOPPED: "the server has stopped",
}


class Service:
    """What the API talks to."""

    def __init__(
        self,
        folder: Path,
        blueprint: Blueprint,
        clock: Callable[[], float],
        observers: Sequence[Observer] = (),
    ) -> None:
        """Loads nothing yet.

        Args:
            folder: of the first bundle.
            blueprint: how to serve a bundle.
            clock: seconds; never goes back.
            observers: are told what happens.
        """
        self._folder, self._blueprint, self._clock = folder, blueprint, clock
        self._observer = Observers(observers)
        self._numbers = count()
        self._state = State.LOADING
        self._began_s = clock()
        self._current: Generation | None = None
        self._retiring: list[Generation] = []
        self._opening: Generation | None = None
        self._past = Tally(0, 0, {}, 0, 0)
        self._turned_away = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def state(self) -> State:
        """What it does with orders."""
        return self._state

    async def start(self) -> None:
        """Loads the first bundle and returns when it is served.

        Raises:
            MixdqError: it can't be; says why.
        """
        assert self._state is State.LOADING, f"a service that is {self._state} does not start"
        generation = await self._open(self._folder)
        if self._state is not State.LOADING:
            generation.stop()
            raise MachineError("the server was told to stop while it loaded its bundle")
        self._current, self._state = generation, State.READY

    def submit(self, order: Order) -> Ticket:
        """Accepts an order.

        Raises:
            RequestError: such pictures are not served.
            OrderError: it is not accepted now.
        """
        pictures = len(order.seeds)
        if self._state is not State.READY or self._current is None:
            self._turn_away(str(self._state), pictures)
            raise NotServingError(_NOT_SERVING[self._state])
        try:
            ticket = self._current.submit(order)
        except NotServingError:
            self._turn_away("no worker", pictures)
            raise
        except PoisonError:
            self._turn_away("quarantine", pictures)
            raise
        self._quiet.clear()
        ticket.pictures.add_done_callback(self._after_ticket)
        return ticket

    def tick(self) -> None:
        """Does what is due; its own timer calls it."""
        self._timer, self._timer_s = None, math.inf
        now_s = self._clock()
        for generation in self._generations():
            generation.act(now_s)
        self._arm()

    async def reload(self, folder: Path) -> None:
        """Loads another bundle beside the one that is served, and serves it in its place.

        What was accepted before is finished with the old one. If the new one can't be served, the old one is
        served on.

        Raises:
            MixdqError: why the new one can't be served.
        """
        if self._state is not State.READY or self._opening is not None:
            doing = "loading another bundle" if self._opening is not None else str(self._state)
            raise MachineError(f"the server is {doing} and loads no bundle now; try again when it is ready")
        generation = await self._open(folder)
        if self._state is not State.READY:
            generation.stop()
            raise MachineError("the server was told to stop while it loaded another bundle")
        assert self._current is not None
        self._retiring.append(self._current)
        self._current, self._folder = generation, folder
        self._retire()

    async def drain(self, limit_s: float) -> bool:
        """Accepts nothing more, and waits until what was accepted has ended, so long at most.

        Returns:
            Whether all of it has.
        """
        if self._state is not State.STOPPED:
            self._state = State.DRAINING
        try:
            await asyncio.wait_for(self._quiet.wait(), limit_s)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Stops now: ends the workers, and with an error what has not ended."""
        self._state = State.STOPPED
        if self._timer is not None:
            self._timer.cancel()
        generations = self._generations()
        for generation in generations:
            generation.stop()
        ends = [asyncio.ensure_future(post.ended()) for one in generations for post in one.posts]
        if ends:
            await asyncio.wait(ends, timeout=_END_S)

    def tally(self) -> Tally:
        """What became of all pictures that were asked for, whichever bundle they were accepted for."""
        away = Tally(self._turned_away, self._turned_away, {}, 0, 0)
        return _sum([away, self._past, *(generation.tally() for generation in self._generations())])

    def status(self) -> Status:
        """What it looks like now."""
        now_s, tally = self._clock(), self.tally()
        current = self._current or self._opening
        p50_s, p95_s = (None, None) if current is None else current.desk.recent.quantiles(now_s, 0.5, 0.95)
        situation = None if self._current is None else self._current.dispatcher.situation
        level = None if situation is None else situation.level
        return Status(
            state=self._state,
            workers=() if current is None else tuple(worker_status(post) for post in current.posts),
            uptime_s=now_s - self._began_s,
            queue_length=tally.waiting,
            queue_bytes=sum(generation.queued_bytes for generation in self._generations()),
            resolution=None if level is None else level.resolution,
            p50_s=p50_s,
            p95_s=p95_s,
            objective_s=self._blueprint.objective_s,
            rate_per_s=0.0 if self._current is None else self._current.dispatcher.rate_per_s(now_s),
            tally=tally,
            reloading=self._opening is not None and self._current is not None,
            folder=self._folder,
            bundle=None if current is None else current.bundle,
            digest=None if current is None else current.digest,
            menu=None if self._current is None else self._current.menu,
            policy=None if self._current is None else self._current.dispatcher.policy_name,
        )

    async def _open(self, folder: Path) -> Generation:
        self._opening = generation = Generation(
            folder, self._blueprint, self._numbers, self._clock, self._observer, self._arm
        )
        try:
            await generation.open()
        finally:
            self._opening = None
        return generation

    def _generations(self) -> list[Generation]:
        return [one for one in (self._current, self._opening, *self._retiring) if one is not None]

    def _turn_away(self, reason: str, pictures: int) -> None:
        self._turned_away += pictures
        self._observer.arrived(pictures)
        self._observer.refused(reason, pictures)

    def _after_ticket(self, _: object) -> None:
        if not any(len(generation.desk) for generation in self._generations()):
            self._quiet.set()
        if self._retiring:
            self._retire()

    def _retire(self) -> None:
        """Ends the generations that have finished."""
        for generation in [one for one in self._retiring if not len(one.desk)]:
            self._retiring.remove(generation)
            generation.stop()
            self._past = _sum([self._past, generation.tally()])

    def _arm(self) -> None:
        """Sets the timer, if something is due before it."""
        due_s = min((generation.due_s for generation in self._generations()), default=math.inf)
        if due_s < self._timer_s:
            if self._timer is not None:
                self._timer.cancel()
            loop = asyncio.get_running_loop()
            self._timer_s = due_s
            self._timer = loop.call_later(max(0.0, due_s - self._clock()), self.tick)


def _sum(tallies: Sequence[Tally]) -> Tally:
    outcomes: Counter[Outcome] = Counter()
    for tally in tallies:
        outcomes.update(tally.outcomes)
    return Tally(
        sum(tally.arrived for tally in tallies),
        sum(tally.refused for tally in tallies),
        dict(outcomes),
        sum(tally.waiting for tally in tallies),
        sum(tally.running for tally in tallies),
    )
