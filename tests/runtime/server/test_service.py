"""Orders and their pictures, with workers and a clock that are moved by hand."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from mixdq.configs.errors import BundleError, MachineError, RequestError
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.policy.request import Outcome
from mixdq.runtime.server.orders import NotServingError, Order, RefusedError, ShedError
from mixdq.runtime.server.status import State
from mixdq.runtime.server.supervisor import Phase

from .conftest import Stage, error_of

pytestmark = pytest.mark.anyio


async def test_pictures_come_in_the_order_of_their_seeds(stage: Stage) -> None:
    await stage.open()
    ticket = stage.order(7, 8, 9)
    (worker,) = stage.lives
    assert (worker.job.prompts, worker.job.seeds) == (("a cat", "a cat"), (7, 8))
    stage.wait(0.5)
    worker.make()
    assert worker.job.seeds == (9,)
    stage.wait(0.5)
    worker.make(0.25)
    pictures = await ticket.pictures
    assert [int(picture.pixels[0, 0, 0]) for picture in pictures] == [7, 8, 9]
    assert [picture.seed for picture in pictures] == [7, 8, 9]
    assert [picture.wait_s for picture in pictures] == [0.0, 0.0, 0.5]
    assert [picture.service_s for picture in pictures] == [0.1, 0.1, 0.25]
    assert [(picture.batch, picture.attempts) for picture in pictures] == [(2, 1), (2, 1), (1, 1)]
    assert {picture.outcome for picture in pictures} == {Outcome.DONE}
    assert stage.ledger.batches == [(16, 2), (16, 1)]


async def test_a_size_that_is_asked_for_is_given(stage: Stage) -> None:
    await stage.open()
    ticket = stage.order(1, size=24)
    stage.lives[0].make()
    (picture,) = await ticket.pictures
    assert (picture.size, picture.pixels.shape) == (24, (24, 24, 3))


async def test_a_picture_after_its_deadline_is_late(stage: Stage) -> None:
    await stage.open()
    ticket = stage.order(1, objective_s=1.0)
    stage.wait(1.5)
    stage.lives[0].make()
    (picture,) = await ticket.pictures
    assert picture.outcome is Outcome.LATE


async def test_all_pictures_of_an_order_are_accepted_or_none(stage: Stage) -> None:
    await stage.open(limits=QueueLimits(2, 1 << 20))
    running = stage.order(1)
    with pytest.raises(RefusedError, match="the queue is full") as refused:
        stage.order(2, 3, 4, 5)
    assert refused.value.retry_after_s == pytest.approx(0.1)
    tally = stage.service.tally()
    assert (tally.arrived, tally.refused, tally.waiting, tally.running) == (5, 4, 0, 1)
    stage.order(2, 3)
    for _ in range(2):
        stage.lives[0].make()
    await running.pictures


async def test_what_is_not_served_is_no_arrival(stage: Stage) -> None:
    await stage.open()
    with pytest.raises(RequestError, match="pictures of 512 pixels are not served, but 16, 24"):
        stage.order(1, size=512)
    with pytest.raises(RequestError, match="made in 1 denoising steps here, not in 4"):
        stage.service.submit(Order("a cat", (1,), None, steps=4))
    assert stage.service.tally().arrived == 0


async def test_nothing_is_accepted_before_the_workers_are_ready(stage: Stage) -> None:
    starting = asyncio.create_task(stage.service.start())
    await asyncio.sleep(0)
    with pytest.raises(NotServingError, match="loading"):
        stage.order(1, 2)
    assert stage.service.status().state is State.LOADING
    assert not stage.service.status().is_ready
    stage.lives[0].ready()
    await starting
    assert stage.service.status().is_ready
    assert stage.ledger.refusals == {"loading": 2}


async def test_a_client_that_goes_away_ends_its_pictures_queued_and_running(stage: Stage) -> None:
    await stage.open()
    ticket, other = stage.order(1, 2), stage.order(3)
    ticket.cancel()
    assert isinstance(await error_of(ticket), asyncio.CancelledError)
    assert stage.service.tally().outcomes == {Outcome.CANCELLED: 2}
    stage.lives[0].make()  # the picture that no one wants
    assert stage.lives[0].job.seeds == (3,)
    stage.lives[0].make()
    await other.pictures
    ticket.cancel()
    other.cancel()
    assert stage.service.tally().outcomes == {Outcome.CANCELLED: 2, Outcome.DONE: 1}


async def test_who_stops_waiting_has_cancelled(stage: Stage) -> None:
    await stage.open()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stage.order(1).pictures, 0.01)
    await asyncio.sleep(0)
    assert stage.service.tally().outcomes == {Outcome.CANCELLED: 1}


async def test_deadlines_are_kept_also_when_no_worker_is_left(stage: Stage) -> None:
    await stage.open()
    tickets = [stage.order(1, objective_s=2.0), stage.order(2, objective_s=20.0)]
    stage.lives[0].lose()
    stage.wait(1.9)
    assert not tickets[0].pictures.done()
    stage.wait(0.2)
    error = await error_of(tickets[0])
    assert isinstance(error, ShedError)
    assert str(error) == ("the picture could no longer be made within 2 s; ask again, or allow it more time")
    assert not tickets[1].pictures.done()


async def test_an_order_that_lost_one_picture_needs_no_other(stage: Stage) -> None:
    await stage.open()
    stage.order(0)
    ticket = stage.order(1, 2, 3, objective_s=2.0)
    stage.lives[0].lose()
    stage.wait(2.5)
    assert isinstance(await error_of(ticket), ShedError)
    outcomes = stage.service.tally().outcomes
    assert outcomes[Outcome.SHED] + outcomes.get(Outcome.CANCELLED, 0) == 3


async def test_the_timer_of_the_service_is_set_by_what_is_due(stage: Stage) -> None:
    await stage.open()
    ticket = stage.order(1, objective_s=0.02)
    stage.lives[0].lose()
    stage.clock.now_s += 0.03
    assert isinstance(await asyncio.wait_for(error_of(ticket), 5), ShedError)


async def test_draining_finishes_what_was_accepted_and_accepts_nothing(stage: Stage) -> None:
    await stage.open()
    tickets = [stage.order(1), stage.order(2)]
    draining = asyncio.create_task(stage.service.drain(5))
    await asyncio.sleep(0)
    with pytest.raises(NotServingError, match="shutting down"):
        stage.order(3)
    stage.lives[0].make()
    await asyncio.sleep(0)
    assert not draining.done()
    stage.lives[0].make()
    assert await draining
    assert [len(await ticket.pictures) for ticket in tickets] == [1, 1]
    assert not stage.service.status().is_ready


async def test_draining_ends_when_its_time_does(stage: Stage) -> None:
    await stage.open()
    ticket = stage.order(1)
    assert not await stage.service.drain(0.01)
    await stage.service.close()
    assert isinstance(await error_of(ticket), NotServingError)
    assert stage.service.tally().outcomes == {Outcome.ERROR: 1}
    assert stage.lives[0].over


async def test_another_bundle_is_served_once_its_workers_are_ready(stage: Stage) -> None:
    await stage.open()
    before = [stage.order(1), stage.order(2)]
    reloading = asyncio.create_task(stage.service.reload(stage.folder))
    await asyncio.sleep(0)
    old, new = stage.lives
    between = stage.order(3)
    assert stage.service.status().reloading
    new.ready()
    await reloading
    after = stage.order(4)
    assert new.job.seeds == (4,)
    for _ in range(2):
        assert not old.over
        old.make()
    await between.pictures
    await asyncio.sleep(0)
    assert old.over
    new.make()
    for ticket in (*before, after):
        await ticket.pictures
    assert stage.service.tally().outcomes == {Outcome.DONE: 4}
    assert not new.over


async def test_a_bundle_that_can_not_be_loaded_leaves_the_old_one(stage: Stage, tmp_path: Path) -> None:
    await stage.open()
    with pytest.raises(BundleError, match="no readable bundle"):
        await stage.service.reload(tmp_path / "none")
    reloading = asyncio.create_task(stage.service.reload(stage.folder))
    await asyncio.sleep(0)
    with pytest.raises(MachineError, match="is loading another bundle"):
        await stage.service.reload(stage.folder)
    stage.lives[1].fail("the engine was changed")
    stage.lives[1].lose()
    with pytest.raises(BundleError, match="the engine was changed"):
        await reloading
    ticket = stage.order(1)
    stage.lives[0].make()
    await ticket.pictures
    assert [life.over for life in stage.lives] == [False, True]
    assert stage.service.status().folder == stage.folder


async def test_a_reload_that_a_stop_overtakes_starts_nothing(stage: Stage) -> None:
    await stage.open()
    reloading = asyncio.create_task(stage.service.reload(stage.folder))
    await asyncio.sleep(0)
    assert await stage.service.drain(5)
    stage.lives[1].ready()
    with pytest.raises(MachineError, match="told to stop"):
        await reloading
    assert stage.lives[1].over


async def test_closing_stops_a_bundle_that_is_being_loaded(stage: Stage) -> None:
    await stage.open()
    reloading = asyncio.create_task(stage.service.reload(stage.folder))
    await asyncio.sleep(0)
    await stage.service.close()
    assert [life.over for life in stage.lives] == [True, True]
    with pytest.raises(MachineError, match="stop"):
        await reloading


@pytest.mark.parametrize("drained", [True, False])
async def test_a_stop_overtakes_a_start(stage: Stage, drained: bool) -> None:
    starting = asyncio.create_task(stage.service.start())
    await asyncio.sleep(0)
    if drained:
        assert await stage.service.drain(5)
        stage.lives[0].ready()
    else:
        await stage.service.close()
    with pytest.raises(MachineError, match="told to stop"):
        await starting
    assert stage.lives[0].over


async def test_the_status_says_what_is_served_and_by_whom(stage: Stage) -> None:
    await stage.open(workers=2)
    stage.order(1, 2, 3)
    for life in stage.lives:
        life.make()
    stage.order(4)
    status = stage.service.status()
    assert (status.model, status.precision, status.policy) == ("tiny", "FP16", "static 16")
    assert status.digest is not None
    assert len(status.digest) == 64
    assert status.resolution == 16
    assert [worker.phase for worker in status.workers] == [Phase.BUSY, Phase.READY]
    assert [worker.resolution for worker in status.workers] == [16, 16]
    assert [worker.peak_bytes for worker in status.workers] == [1 << 21, 1 << 21]
    assert (status.p50_s, status.p95_s) == (0.0, 0.0)
    assert status.queue_length == 0
    assert status.rate_per_s > 0


async def test_latencies_of_the_last_minute_are_those_that_count(stage: Stage) -> None:
    await stage.open()
    for seconds in (0.5, 1.0, 2.0, 3.0):
        stage.order(1)
        stage.wait(seconds)
        stage.lives[0].make()
    assert (stage.service.status().p50_s, stage.service.status().p95_s) == (2.0, 3.0)
    stage.clock.now_s += 58.0
    assert stage.service.status().p50_s == 3.0
    stage.clock.now_s += 3.0
    assert stage.service.status().p50_s is None


async def test_one_picture_serves_as_many_as_it_is_given_to(stage: Stage) -> None:
    await stage.open()
    first, second = stage.order(5), stage.order(5)
    stage.lives[0].make()
    stage.lives[0].make()
    (one,), (other,) = await first.pictures, await second.pictures
    assert np.array_equal(one.pixels, other.pixels)
