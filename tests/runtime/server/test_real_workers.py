"""The service over real worker processes, to which real things happen."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.errors import BundleError, MixdqError
from mixdq.runtime.loading import load
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.policy.request import Outcome
from mixdq.runtime.server.blueprint import Blueprint
from mixdq.runtime.server.lifecycle import Ending, serve_until_signal
from mixdq.runtime.server.orders import NotServingError, Order, PoisonError
from mixdq.runtime.server.service import Service
from mixdq.runtime.server.supervisor import Patience, Phase
from mixdq.runtime.server.ticket import Ticket
from mixdq.runtime.work.process import ProcessWork
from mixdq.runtime.work.spec import WorkerSpec

from .conftest import error_of, hand_menu, smallest
from .ledger import Ledger

pytestmark = pytest.mark.anyio

_MORTAL = ("-P", str(Path(__file__).parents[1] / "work" / "mortal_main.py"))
_SOON_S = 60.0


class RealStage:
    """A service, and its books."""

    def __init__(self, folder: Path, hang_floor_s: float = _SOON_S) -> None:
        self.folder = folder
        self.ledger = Ledger()
        patience = Patience(
            loading_s=_SOON_S,
            hang_floor_s=hang_floor_s,
            hang_factor=3.0,
            first_rest_s=0.05,
            longest_rest_s=0.1,
            well_s=60.0,
        )
        blueprint = Blueprint(
            work=lambda folder, number: ProcessWork(WorkerSpec(folder, "cpu", "cpu", 1, None, 1), _MORTAL),
            menu=hand_menu,
            policy=smallest,
            workers=1,
            objective_s=_SOON_S,
            steps=1,
            limits=QueueLimits(1000, 1 << 30),
            switch_s=0.0,
            rate_memory_s=5.0,
            patience=patience,
        )
        self.service = Service(folder, blueprint, time.monotonic, [self.ledger])

    @property
    def pid(self) -> int:
        pid = self.service.status().workers[0].pid
        assert pid is not None
        return pid

    def order(self, *seeds: int, prompt: str = "a cat") -> Ticket:
        return self.service.submit(Order(prompt, seeds or (1,), None))

    async def made(self, ticket: Ticket) -> list[int]:
        """How often each picture of a ticket was tried."""
        return [one.attempts for one in await asyncio.wait_for(ticket.pictures, _SOON_S)]

    async def loses_its_worker(self) -> None:
        while (0, Phase.LOST) not in self.ledger.phases:
            await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(stage: RealStage) -> AsyncIterator[RealStage]:
    """With one worker, which is ready."""
    await asyncio.wait_for(stage.service.start(), _SOON_S)
    yield stage
    stage.ledger.check(stage.service)
    await stage.service.close()
    stage.ledger.check_over(stage.service)


@pytest.fixture
async def real(tiny_bundle: Path) -> AsyncIterator[RealStage]:
    """One worker, which has all the time that it needs."""
    async with opened(RealStage(tiny_bundle)) as stage:
        yield stage


async def test_a_picture_made_in_a_batch_is_the_one_that_the_bundle_makes_alone(real: RealStage) -> None:
    pictures = await asyncio.wait_for(real.order(3, 4, 5).pictures, _SOON_S)
    assert [picture.batch for picture in pictures] == [2, 2, 1]
    with load(real.folder) as pipeline:
        expected = [pipeline("a cat", seed=seed, resolution=16) for seed in (3, 4, 5)]
    for picture, other in zip(pictures, expected, strict=True):
        assert np.array_equal(picture.pixels, np.asarray(other))


async def test_a_worker_that_is_killed_mid_batch_costs_no_picture(real: RealStage) -> None:
    os.kill(real.pid, signal.SIGSTOP)
    running, queued = real.order(1, 2), real.order(3)
    os.kill(real.pid, signal.SIGKILL)
    assert await real.made(running) == [2, 2]
    assert await real.made(queued) == [1]
    (worker,) = real.service.status().workers
    assert (worker.restarts, worker.reason) == (1, "its process was ended by SIGKILL")


async def test_a_worker_that_hangs_is_replaced(tiny_bundle: Path) -> None:
    # A machine that is busy with other things must not look like a worker that hangs.
    async with opened(RealStage(tiny_bundle, hang_floor_s=2.0)) as real:
        os.kill(real.pid, signal.SIGSTOP)
        assert await real.made(real.order(1)) == [2]
        assert real.service.status().workers[0].reason == "it hung: its batch took far longer than expected"


@pytest.mark.parametrize("prompt", ["die", "defect"])
async def test_poison_ends_alone_and_is_not_tried_again(real: RealStage, prompt: str) -> None:
    os.kill(real.pid, signal.SIGSTOP)
    first, poison, innocent = real.order(0), real.order(1, prompt=prompt), real.order(2)
    os.kill(real.pid, signal.SIGCONT)
    assert await real.made(first) == [1]
    assert isinstance(await error_of(poison), PoisonError)
    assert await real.made(innocent) == [2]
    assert real.service.status().workers[0].restarts == 2
    with pytest.raises(PoisonError):
        real.order(1, prompt=prompt)
    assert real.service.tally().outcomes == {Outcome.DONE: 2, Outcome.ERROR: 1}


async def test_a_damaged_bundle_is_not_swapped_in_and_a_good_one_is(real: RealStage, tmp_path: Path) -> None:
    other = shutil.copytree(real.folder, tmp_path / "other")
    path = other / Bundle.read(other).find(Component.VAE_DECODER, "cpu", 16).file.path
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"?")
    before = real.pid
    with pytest.raises(BundleError, match="was changed or damaged"):
        await real.service.reload(other)
    assert real.pid == before
    assert await real.made(real.order(1)) == [1]
    path.write_bytes(good)
    tickets = [real.order(seed) for seed in range(20)]
    await real.service.reload(other)
    assert real.pid != before
    tickets += [real.order(seed) for seed in range(20)]
    for ticket in tickets:
        assert await real.made(ticket) == [1]
    assert real.service.status().folder == other


async def test_sigterm_under_load_loses_nothing_that_was_accepted(real: RealStage) -> None:
    told: list[MixdqError | None] = []
    serving = asyncio.create_task(serve_until_signal(real.service, real.folder, _SOON_S, told.append))
    await asyncio.sleep(0)
    tickets = [real.order(seed) for seed in range(50)]
    os.kill(os.getpid(), signal.SIGTERM)
    while real.service.status().is_ready:
        await asyncio.sleep(0)
    with pytest.raises(NotServingError):
        real.order(0)
    assert await asyncio.wait_for(serving, _SOON_S) is Ending.DRAINED
    for ticket in tickets:
        assert await real.made(ticket) == [1]


async def test_a_second_signal_stops_now(real: RealStage) -> None:
    told: list[MixdqError | None] = []
    serving = asyncio.create_task(serve_until_signal(real.service, real.folder, _SOON_S, told.append))
    await asyncio.sleep(0)
    os.kill(real.pid, signal.SIGSTOP)
    ticket = real.order(1)
    os.kill(os.getpid(), signal.SIGINT)
    while real.service.status().is_ready:
        await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(serving, _SOON_S) is Ending.FORCED
    assert isinstance(await error_of(ticket), NotServingError)


async def test_sighup_loads_the_folder_again(real: RealStage) -> None:
    told: asyncio.Queue[MixdqError | None] = asyncio.Queue()
    serving = asyncio.create_task(serve_until_signal(real.service, real.folder, 0.01, told.put_nowait))
    await asyncio.sleep(0)
    before = real.pid
    os.kill(os.getpid(), signal.SIGHUP)
    assert await asyncio.wait_for(told.get(), _SOON_S) is None
    assert real.pid != before
    (real.folder / "bundle.json").write_text("{}")
    os.kill(os.getpid(), signal.SIGHUP)
    assert isinstance(await asyncio.wait_for(told.get(), _SOON_S), BundleError)
    assert await real.made(real.order(1)) == [1]
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(serving, _SOON_S) is Ending.DRAINED
