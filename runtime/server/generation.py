"""One loaded bundle: its menu, its queue and its workers, from the first to the last picture."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mixdq.configs.bundle import BUNDLE_FILE, Bundle
from mixdq.configs.errors import BundleError, MachineError
from mixdq.configs.files import sha256_of_file
from mixdq.runtime.policy.dispatcher import Dispatcher, Tally
from mixdq.runtime.policy.points import Menu
from mixdq.runtime.policy.policy import Worker
from mixdq.runtime.policy.rate import ArrivalRate
from mixdq.runtime.server.attempts import MOST_DEATHS
from mixdq.runtime.server.blueprint import Blueprint
from mixdq.runtime.server.desk import Desk
from mixdq.runtime.server.observer import Observer
from mixdq.runtime.server.orders import (
    NotServingError,
    Order,
    PoisonError,
    RefusedError,
    UnmakeableError,
)
from mixdq.runtime.server.post import Post
from mixdq.runtime.server.quarantine import Quarantine
from mixdq.runtime.server.supervisor import Phase
from mixdq.runtime.server.ticket import Ticket
from mixdq.runtime.work.job import Event, Failed, Lost, Made, Ready, Work


class Generation:
    """Everything that belongs to one bundle.

    Attributes:
        folder: of the bundle.
        bundle: what was loaded.
        digest: SHA-256 of `bundle.json`.
        posts: the workers.
        desk: the pictures that are waited for.
    """

    def __init__(
        self,
        folder: Path,
        blueprint: Blueprint,
        numbers: Iterator[int],
        clock: Callable[[], float],
        observer: Observer,
        arm: Callable[[], None],
    ) -> None:
        """Reads `bundle.json`; starts nothing.

        Args:
            folder: of the bundle.
            blueprint: how the rest is made.
            numbers: the next requests'.
            clock: seconds; never goes back.
            observer: is told what happens.
            arm: is called when `due_s` may have become earlier.

        Raises:
            BundleError: there is no bundle, or one of another version.
        """
        self.folder = folder
        self.bundle = Bundle.read(folder)
        self.digest = sha256_of_file(folder / BUNDLE_FILE)
        self.posts = tuple(
            Post(number, blueprint.patience, partial(self._open_work, number), self._hear)
            for number in range(blueprint.workers)
        )
        self.desk = Desk(numbers, blueprint.objective_s, blueprint.steps, observer)
        self._blueprint, self._clock, self._observer, self._arm = blueprint, clock, observer, arm
        self._quarantine = Quarantine()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next_deadline_s = math.inf
        self._menu: Menu | None = None
        self._dispatcher: Dispatcher | None = None

    @property
    def menu(self) -> Menu:
        """What is served; after `open`."""
        assert self._menu is not None, "the workers are not ready"
        return self._menu

    @property
    def dispatcher(self) -> Dispatcher:
        """Queue and policy; after `open`."""
        assert self._dispatcher is not None, "the workers are not ready"
        return self._dispatcher

    @property
    def due_s(self) -> float:
        """When `act` may have something to do."""
        return min(self._next_deadline_s, *(post.supervisor.due_s for post in self.posts))

    async def open(self) -> None:
        """Starts the workers and returns when all of them are ready; stops them if one can't get so.

        Raises:
            BundleError: a worker refuses the bundle; says why.
            MachineError: a worker's process ended, or took too long.
            EvaluationError: nothing can be served with the times and utilities that are known.
        """
        try:
            for post in self.posts:
                post.start(self._clock())
                self._began(post)
            self._arm()
            await self._opened
            self._menu = self._blueprint.menu(self.bundle, [post.ready for post in self.posts if post.ready])
            self._dispatcher = dispatcher = self._make_dispatcher(self._menu)
            for post in self.posts:
                # It may have been lost since the last one got ready.
                if post.phase is not Phase.READY:
                    dispatcher.lose(dispatcher.workers[post.number], post.supervisor.due_s)
        except BaseException:
            self.stop()
            raise

    def submit(self, order: Order) -> Ticket:
        """Accepts all pictures of an order, or none.

        Raises:
            RequestError: such pictures are not served.
            PoisonError: one of them ended two workers before.
            NotServingError: all workers are lost.
            RefusedError: not now.
        """
        now_s, dispatcher = self._clock(), self.dispatcher
        requests = self.desk.requests(order, self.menu, now_s)
        if self._quarantine.holds(order, now_s):
            raise PoisonError(
                "this prompt and seed ended two workers before, and are not tried again; change one of them"
            )
        if not any(worker.up for worker in dispatcher.workers):
            raise NotServingError("all workers were lost and are being started again; try in a moment")
        self._observer.arrived(len(requests))
        if (refusal := dispatcher.arrive_together(requests, now_s)) is not None:
            self._observer.refused(refusal.reason, len(requests))
            raise RefusedError(f"not accepted: {refusal.reason}; try again later", refusal.retry_after_s)
        ticket = self.desk.accept(order, requests, self._cancel)
        self._next_deadline_s = min(self._next_deadline_s, requests[0].deadline_s)
        self._assign(now_s)
        self._arm()
        return ticket

    def act(self, now_s: float) -> None:
        """Does what is due: starts lost workers, kills those that hang, drops who can't be served in time."""
        for post in self.posts:
            if post.act(now_s):
                self._began(post)
        if now_s >= self._next_deadline_s:
            self._expire(now_s)

    @property
    def queued_bytes(self) -> int:
        """What the waiting requests hold."""
        return 0 if self._dispatcher is None else self._dispatcher.queued_bytes

    def tally(self) -> Tally:
        """What became of the requests so far."""
        return Tally(0, 0, {}, 0, 0) if self._dispatcher is None else self._dispatcher.tally()

    def stop(self) -> None:
        """Ends the workers, and with an error whatever has not ended."""
        if not self._opened.done():
            self._opened.set_exception(MachineError("told to stop while the engines were being loaded"))
            # `open` may not wait for it any more.
            self._opened.exception()
        for post in self.posts:
            post.stop()
            self._changed(post)
        if (dispatcher := self._dispatcher) is None:
            return
        now_s = self._clock()
        self.desk.give_up(NotServingError("the server stopped before the picture was made"))
        for worker in dispatcher.workers:
            if worker.running:
                dispatcher.fail(worker, now_s)
        for request in tuple(dispatcher.situation.waiting):
            dispatcher.give_up(request, now_s)
        self.desk.close_tickets(dispatcher)

    def _make_dispatcher(self, menu: Menu) -> Dispatcher:
        blueprint = self._blueprint
        # Arrivals are counted over the time that they may wait; without an objective it doesn't matter.
        window_s = blueprint.objective_s if math.isfinite(blueprint.objective_s) else 1.0
        return Dispatcher(
            blueprint.policy(menu),
            workers=blueprint.workers,
            limits=blueprint.limits,
            switch_s=blueprint.switch_s,
            rate=ArrivalRate(blueprint.rate_memory_s, window_s),
            settle=self.desk.settle,
        )

    def _hear(self, post: Post, event: Event) -> None:
        match event:
            case Ready():
                self._is_ready(post, event)
            case Made():
                self._is_made(post, event)
            case Failed(number=None):
                post.failure = event.message
            case Failed():
                self._can_not_make(post, event)
            case Lost():
                self._is_lost(post, event)
        self._arm()

    def _is_ready(self, post: Post, ready: Ready) -> None:
        now_s = self._clock()
        post.ready, post.peak_bytes = ready, ready.peak_bytes
        post.supervisor.ready(now_s)
        self._changed(post)
        if (dispatcher := self._dispatcher) is not None:
            dispatcher.restore(dispatcher.workers[post.number], now_s)
            self._assign(now_s)
        elif not self._opened.done() and all(one.phase is Phase.READY for one in self.posts):
            self._opened.set_result(None)

    def _is_made(self, post: Post, made: Made) -> None:
        now_s, dispatcher = self._clock(), self.dispatcher
        post.peak_bytes = made.peak_bytes
        batch = post.end_batch()
        self.desk.deliver(batch, made)
        dispatcher.finish(dispatcher.workers[post.number], now_s)
        self._observer.batch(batch.point.resolution, len(batch.requests), made.service_s)
        self._assign(now_s)

    def _can_not_make(self, post: Post, failed: Failed) -> None:
        now_s, dispatcher = self._clock(), self.dispatcher
        worker = dispatcher.workers[post.number]
        if len(post.end_batch().requests) > 1:
            self.desk.again(dispatcher.part(worker, now_s))
        else:
            self.desk.blame(worker.running, UnmakeableError(failed.message))
            dispatcher.fail(worker, now_s)
        self._assign(now_s)

    def _is_lost(self, post: Post, lost: Lost) -> None:
        now_s = self._clock()
        post.batch = None
        back_s = post.supervisor.lose(now_s, post.failure or lost.reason)
        self._changed(post)
        if self._dispatcher is not None:
            self._retry(self._dispatcher.workers[post.number], back_s)
            self._expire(now_s)
            self._assign(now_s)
        elif not self._opened.done():
            failure = post.failure
            self._opened.set_exception(
                MachineError(f"worker {post.number} could not get ready: {post.supervisor.reason}")
                if failure is None
                else BundleError(failure)
            )

    def _retry(self, worker: Worker, back_s: float) -> None:
        """Those that the lost worker had go again, each alone; one that did already ends."""
        now_s, dispatcher = self._clock(), self.dispatcher
        for one in self.desk.again(dispatcher.lose(worker, back_s)):
            one.deaths += 1
            if one.deaths < MOST_DEATHS:
                continue
            self._quarantine.add(one.ticket.order, one.seed, now_s)
            one.error = PoisonError(
                f"the picture ended {one.deaths} workers, the last one while it was made alone, and is not "
                "tried again; change the prompt or the seed"
            )
            dispatcher.give_up(one.request, now_s)

    def _assign(self, now_s: float) -> None:
        """Gives idle workers what waits, then tells those whose requests ended meanwhile."""
        dispatcher = self.dispatcher
        while (worker := dispatcher.idle()) is not None:
            if (batch := dispatcher.assign(worker, now_s)) is None:
                break
            prompts, seeds = self.desk.begin(batch, now_s)
            self.posts[worker.number].give(batch, prompts, seeds, self._blueprint.steps, now_s)
        self.desk.close_tickets(dispatcher)

    def _expire(self, now_s: float) -> None:
        self._next_deadline_s = self.dispatcher.expire(now_s)
        self.desk.close_tickets(self.dispatcher)

    def _cancel(self, ticket: Ticket) -> None:
        self.desk.cancel(ticket, self.dispatcher, self._clock())
        self.desk.close_tickets(self.dispatcher)

    def _open_work(self, number: int) -> Work:
        """One life of a worker.

        Raises:
            BundleError: the folder holds another bundle by now, or none.
        """
        path = self.folder / BUNDLE_FILE
        if not path.is_file() or sha256_of_file(path) != self.digest:
            raise BundleError(
                f"{path} is no longer the one that is served, so no worker is started with it: load what is "
                "there with SIGHUP, or put the old one back"
            )
        return self._blueprint.work(self.folder, number)

    def _began(self, post: Post) -> None:
        """A life began or is being ended; one that was lost at once has been told of."""
        if post.phase is not Phase.LOST:
            self._changed(post)

    def _changed(self, post: Post) -> None:
        self._observer.worker_changed(post.number, post.phase, post.supervisor.reason)
