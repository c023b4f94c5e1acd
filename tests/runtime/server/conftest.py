"""A service on a stage: its clock and its workers are moved by hand, and its books are checked at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mixdq.configs.bundle import Bundle
from mixdq.configs.errors import MixdqError
from mixdq.runtime.policy.points import Menu, Point, make_menu
from mixdq.runtime.policy.policy import Policy
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.policy.static import Static
from mixdq.runtime.server.blueprint import Blueprint
from mixdq.runtime.server.orders import Order
from mixdq.runtime.server.service import Service
from mixdq.runtime.server.supervisor import Patience
from mixdq.runtime.server.ticket import Ticket
from mixdq.runtime.work.job import Event, Failed, Job, Lost, Made, Ready

from .ledger import Ledger


@pytest.fixture
def anyio_backend() -> str:
    """What the server runs on."""
    return "asyncio"


class HandClock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class HandWork:
    """One life of a worker that does what the test says."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number
        self.jobs: list[Job] = []
        self.killed = self.stopped = False
        self._say: Callable[[Event], None] | None = None

    @property
    def pid(self) -> None:
        return None

    @property
    def job(self) -> Job:
        """What it has to make."""
        return self.jobs[-1]

    def start(self, listen: Callable[[Event], None]) -> None:
        self._say = listen

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def kill(self) -> None:
        self.killed = True

    def stop(self) -> None:
        self.stopped = True

    async def ended(self) -> None:
        assert self.over

    @property
    def over(self) -> bool:
        """Whether it is wanted no more."""
        return self.killed or self.stopped

    def ready(self) -> None:
        self._tell(Ready({16: {1: (0.1,)}, 24: {1: (0.2,)}}, 1 << 20))

    def make(self, service_s: float = 0.1) -> None:
        """Its job's pictures, each filled with its seed."""
        side = self.job.resolution
        pictures = tuple(np.full((side, side, 3), seed, dtype=np.uint8) for seed in self.job.seeds)
        self._tell(Made(self.job.number, pictures, service_s, 1 << 21))

    def fail(self, message: str) -> None:
        self._tell(Failed(self.job.number if self.jobs else None, message))

    def lose(self) -> None:
        self._tell(Lost("its process was ended by SIGKILL"))

    def _tell(self, event: Event) -> None:
        assert self._say is not None
        self._say(event)


def hand_menu(bundle: Bundle, workers: object) -> Menu:
    """0.1 and 0.2 s, and half as much for a second picture in the batch."""
    times = {16: (0.1, 0.15), 24: (0.2, 0.3)}
    return make_menu(Point(size, size / 24, times[size], (0.0, 0.0)) for size in bundle.resolutions)


def smallest(menu: Menu) -> Policy:
    """The policy that serves the smallest size."""
    return Static(menu.points[0])


class Stage:
    """A service, and everything that it meets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.ledger = Ledger()
        self.lives: list[HandWork] = []
        self.tickets: list[Ticket] = []
        self.blueprint = Blueprint(
            work=self._work,
            menu=hand_menu,
            policy=smallest,
            workers=1,
            objective_s=10.0,
            steps=1,
            limits=QueueLimits(100, 1 << 20),
            switch_s=0.0,
            rate_memory_s=5.0,
            patience=Patience(
                loading_s=50.0,
                hang_floor_s=4.0,
                hang_factor=10.0,
                first_rest_s=1.0,
                longest_rest_s=8.0,
                well_s=60.0,
            ),
        )
        self._service: Service | None = None

    @property
    def service(self) -> Service:
        if self._service is None:
            self._service = Service(self.folder, self.blueprint, self.clock, [self.ledger])
        return self._service

    async def open(self, **changes: object) -> None:
        """Has the workers ready."""
        self.blueprint = replace(self.blueprint, **changes)  # type: ignore[arg-type]
        starting = asyncio.create_task(self.service.start())
        await asyncio.sleep(0)
        for life in self.lives:
            life.ready()
        await starting

    def order(
        self,
        *seeds: int,
        size: int | None = None,
        prompt: str = "a cat",
        objective_s: float | None = None,
    ) -> Ticket:
        """An order that is accepted."""
        order = Order(prompt, seeds or (1,), size, objective_s=objective_s)
        ticket = self.service.submit(order)
        self.tickets.append(ticket)
        return ticket

    def wait(self, seconds: float) -> None:
        """Time passes, and what is due is done."""
        self.clock.now_s += seconds
        self.service.tick()

    async def close(self) -> None:
        """Ends it and looks at its books."""
        if self._service is None:
            return
        self.ledger.check(self.service)
        await self.service.close()
        self.ledger.check_over(self.service)
        for ticket in self.tickets:
            assert ticket.pictures.done()

    def _work(self, folder: Path, number: int) -> HandWork:
        self.lives.append(life := HandWork(folder, number))
        return life


@pytest.fixture
async def stage(tiny_bundle: Path) -> AsyncIterator[Stage]:
    """With a bundle of 16 and 24 pixels."""
    made = Stage(tiny_bundle)
    yield made
    await made.close()


async def error_of(ticket: Ticket) -> BaseException | None:
    """How a ticket ended; None with pictures."""
    try:
        await ticket.pictures
    except (MixdqError, asyncio.CancelledError) as error:
        return error
    return None
