"""Whatever happens, in whatever order: every accepted picture ends in exactly one way."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from mixdq.configs.errors import MixdqError
from mixdq.runtime.policy.deadline import Deadline
from mixdq.runtime.policy.points import Menu
from mixdq.runtime.policy.policy import Policy
from mixdq.runtime.policy.prices import Problem
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.server.orders import Order
from mixdq.runtime.server.ticket import Ticket

from .conftest import HandWork, Stage, smallest

pytestmark = pytest.mark.anyio


def _deadline(menu: Menu) -> Policy:
    return Deadline(Problem(menu, 1.0, 2, 2.0), 0.01, 0.05)


class _Chance:
    """Does one thing after another, and knows what each worker is about to do."""

    def __init__(self, stage: Stage, random: Random) -> None:
        self.stage, self.random = stage, random
        self.tickets: list[Ticket] = []
        self.loaded: set[HandWork] = set(stage.lives)
        self.lost: set[HandWork] = set()
        self.answered: dict[HandWork, int] = {}

    def step(self) -> None:
        random, stage = self.random, self.stage
        life = random.choice(stage.lives)
        alive = life not in self.lost and not life.stopped
        working = alive and life in self.loaded and len(life.jobs) > self.answered.get(life, 0)
        match random.choice(
            ("order", "order", "make", "make", "make", "cancel", "lose", "fail", "wait", "ready")
        ):
            case "order":
                self._order()
            case "cancel" if self.tickets:
                random.choice(self.tickets).cancel()
            case "make" if working:
                self.answered[life] = len(life.jobs)
                life.make()
            case "fail" if working and random.random() < 0.3:
                self.answered[life] = len(life.jobs)
                life.fail("can't be made")
            case "lose" if alive and (life.killed or random.random() < 0.2):
                self.lost.add(life)
                life.lose()
            case "ready" if alive and life not in self.loaded and not life.killed:
                self.loaded.add(life)
                life.ready()
            case "wait":
                stage.wait(random.choice((0.05, 0.3, 2.0)))

    def _order(self) -> None:
        random = self.random
        order = Order(
            "a cat",
            tuple(random.randrange(8) for _ in range(random.randint(1, 4))),
            random.choice((None, None, 16, 24)),
            objective_s=random.choice((0.2, 1.0, 5.0)),
            priority=random.randrange(2),
        )
        try:
            self.tickets.append(self.stage.service.submit(order))
        except MixdqError:
            return


@pytest.mark.parametrize("seed", range(25))
async def test_any_events_end_every_accepted_picture_once(stage: Stage, seed: int) -> None:
    random = Random(seed)
    await stage.open(
        workers=random.randint(1, 3),
        policy=random.choice((smallest, _deadline)),
        limits=QueueLimits(random.randint(2, 20), 1 << 16),
        objective_s=1.0,
    )
    chance = _Chance(stage, random)
    for _ in range(300):
        chance.step()
        stage.ledger.check(stage.service)
        if random.random() < 0.1:
            await asyncio.sleep(0)
    assert stage.service.tally().accepted > 10
    stage.tickets = chance.tickets
