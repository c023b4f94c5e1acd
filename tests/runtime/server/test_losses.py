"""Workers that crash, hang or refuse, and what becomes of their pictures; all moved by hand."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from mixdq.configs.errors import BundleError, MachineError
from mixdq.runtime.policy.request import Outcome
from mixdq.runtime.server.orders import NotServingError, PoisonError, UnmakeableError
from mixdq.runtime.server.supervisor import Phase
from mixdq.runtime.work.job import Event

from .conftest import HandWork, Stage, error_of

pytestmark = pytest.mark.anyio


async def test_a_lost_batch_goes_again_each_picture_alone(stage: Stage) -> None:
    await stage.open()
    ticket = stage.order(1, 2)
    stage.lives[0].lose()
    assert stage.service.status().workers[0].phase is Phase.LOST
    stage.wait(1.0)
    stage.lives[1].ready()
    assert stage.lives[1].job.seeds == (1,)
    stage.lives[1].make()
    assert stage.lives[1].job.seeds == (2,)
    stage.lives[1].make()
    pictures = await ticket.pictures
    assert [picture.batch for picture in pictures] == [1, 1]
    assert [picture.attempts for picture in pictures] == [2, 2]
    assert stage.service.status().workers[0].restarts == 1


async def test_another_worker_takes_the_lost_batch_at_once(stage: Stage) -> None:
    await stage.open(workers=2)
    ticket = stage.order(1)
    stage.lives[0].lose()
    stage.lives[1].make()
    (picture,) = await ticket.pictures
    assert picture.attempts == 2
    stage.order(2)
    assert stage.lives[1].job.seeds == (2,)
    stage.lives[1].make()


async def test_a_picture_that_ends_two_workers_is_not_tried_again(stage: Stage) -> None:
    await stage.open()
    poison, innocent = stage.order(1, prompt="poison"), stage.order(2)
    stage.lives[0].lose()
    stage.wait(1.0)
    stage.lives[1].ready()
    assert stage.lives[1].job.prompts == ("poison",)
    stage.lives[1].lose()
    assert isinstance(await error_of(poison), PoisonError)
    stage.wait(2.0)
    stage.lives[2].ready()
    assert stage.lives[2].job.prompts == ("a cat",)
    stage.lives[2].make()
    assert len(await innocent.pictures) == 1
    with pytest.raises(PoisonError, match="ended two workers before"):
        stage.order(1, prompt="poison")
    stage.order(2, prompt="poison")
    stage.lives[2].make()
    assert stage.ledger.refusals == {"quarantine": 1}
    stage.clock.now_s += 3601.0
    stage.order(1, prompt="poison")
    stage.lives[2].make()


async def test_poison_takes_no_innocent_with_it(stage: Stage) -> None:
    await stage.open()
    stage.order(0)
    poison, innocent = stage.order(1, prompt="poison"), stage.order(2)
    stage.lives[0].make()
    assert stage.lives[0].job.prompts == ("poison", "a cat")
    stage.lives[0].lose()
    stage.wait(1.0)
    stage.lives[1].ready()
    assert stage.lives[1].job.prompts == ("poison",)
    stage.lives[1].lose()
    stage.wait(2.0)
    stage.lives[2].ready()
    assert stage.lives[2].job.prompts == ("a cat",)
    stage.lives[2].make()
    assert isinstance(await error_of(poison), PoisonError)
    (picture,) = await innocent.pictures
    assert picture.attempts == 2


async def test_a_lost_picture_whose_client_is_gone_is_not_made_again(stage: Stage) -> None:
    await stage.open()
    stage.order(1).cancel()
    stage.lives[0].lose()
    stage.wait(1.0)
    stage.lives[1].ready()
    assert stage.lives[1].jobs == []
    assert stage.service.tally().outcomes == {Outcome.CANCELLED: 1}


async def test_an_idle_worker_that_is_lost_is_started_again(stage: Stage) -> None:
    await stage.open()
    stage.lives[0].lose()
    assert not stage.service.status().is_ready
    with pytest.raises(NotServingError, match="all workers were lost"):
        stage.order(1)
    stage.wait(0.9)
    assert len(stage.lives) == 1
    stage.wait(0.2)
    stage.lives[1].ready()
    stage.order(1)
    stage.lives[1].make()
    assert stage.ledger.phases == [
        (0, Phase.LOADING),
        (0, Phase.READY),
        (0, Phase.LOST),
        (0, Phase.LOADING),
        (0, Phase.READY),
    ]


async def test_a_worker_that_hangs_is_killed_and_its_batch_goes_again(stage: Stage) -> None:
    await stage.open()
    ticket = stage.order(1, objective_s=60.0)
    stage.wait(3.9)
    assert not stage.lives[0].killed
    stage.wait(0.2)
    assert stage.lives[0].killed
    stage.lives[0].make()  # what it still says
    assert not ticket.pictures.done()
    stage.lives[0].lose()
    assert "hung" in (stage.service.status().workers[0].reason or "")
    stage.wait(1.0)
    stage.lives[1].ready()
    stage.lives[1].make()
    assert len(await ticket.pictures) == 1


async def test_a_long_batch_is_no_hang(stage: Stage) -> None:
    await stage.open()
    stage.order(1, size=24, objective_s=60.0)
    stage.wait(3.0)
    stage.lives[0].make()
    stage.wait(100.0)
    assert not stage.lives[0].killed


async def test_a_worker_that_does_not_get_ready_again_is_killed(stage: Stage) -> None:
    await stage.open()
    stage.lives[0].lose()
    stage.wait(1.0)
    stage.wait(49.0)
    assert not stage.lives[1].killed
    stage.wait(1.1)
    assert stage.lives[1].killed
    stage.lives[1].lose()
    assert stage.service.status().workers[0].reason == "it was not ready after 50 s"
    stage.wait(2.0)
    stage.lives[2].ready()
    assert stage.service.status().is_ready


async def test_a_system_that_starts_no_process_is_asked_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.open()
    stage.lives[0].lose()
    with monkeypatch.context() as patch:
        patch.setattr(HandWork, "start", _no_process)
        stage.wait(1.0)
    assert "Resource temporarily unavailable" in (stage.service.status().workers[0].reason or "")
    stage.wait(2.0)
    stage.lives[2].ready()
    assert stage.service.status().is_ready


async def test_a_picture_that_can_not_be_made_ends_alone(stage: Stage) -> None:
    await stage.open()
    stage.order(0)
    bad, good = stage.order(1, prompt="bad"), stage.order(2)
    stage.lives[0].make()
    assert list(stage.lives[0].job.seeds) == [1, 2]
    stage.lives[0].fail("not finite")
    assert stage.lives[0].job.seeds == (1,)
    stage.lives[0].fail("not finite")
    error = await error_of(bad)
    assert isinstance(error, UnmakeableError)
    assert str(error) == "not finite"
    stage.lives[0].make()
    assert len(await good.pictures) == 1
    assert stage.service.status().workers[0].restarts == 0


@pytest.mark.parametrize(
    ("says", "kind", "message"),
    [
        ("the engine was changed", BundleError, "^the engine was changed$"),
        (None, MachineError, "worker 1 could not get ready: its process was ended by SIGKILL"),
    ],
)
async def test_a_service_whose_worker_can_not_load_does_not_start(
    stage: Stage, says: str | None, kind: type[Exception], message: str
) -> None:
    stage.blueprint = replace(stage.blueprint, workers=2)
    starting = asyncio.create_task(stage.service.start())
    await asyncio.sleep(0)
    stage.lives[0].ready()
    if says is not None:
        stage.lives[1].fail(says)
    stage.lives[1].lose()
    with pytest.raises(kind, match=message):
        await starting
    assert all(life.over for life in stage.lives)


async def test_a_worker_that_is_lost_as_the_service_starts_is_given_nothing(stage: Stage) -> None:
    stage.blueprint = replace(stage.blueprint, workers=2)
    starting = asyncio.create_task(stage.service.start())
    await asyncio.sleep(0)
    for life in stage.lives:
        life.ready()
    stage.lives[0].lose()
    await starting
    ticket = stage.order(1)
    assert stage.lives[0].jobs == []
    stage.lives[1].make()
    await ticket.pictures
    stage.wait(1.0)
    stage.lives[2].ready()
    assert [worker.phase for worker in stage.service.status().workers] == [Phase.READY, Phase.READY]


async def test_no_worker_starts_with_another_bundle_than_the_one_that_is_served(stage: Stage) -> None:
    await stage.open()
    path = stage.folder / "bundle.json"
    good = path.read_bytes()
    path.write_bytes(good + b" ")
    stage.lives[0].lose()
    stage.wait(1.0)
    assert len(stage.lives) == 1
    (worker,) = stage.service.status().workers
    assert worker.phase is Phase.LOST
    assert "is no longer the one that is served" in str(worker.reason)
    assert [phase for _, phase in stage.ledger.phases].count(Phase.LOST) == 2
    path.unlink()
    stage.wait(2.0)
    path.write_bytes(good)
    stage.wait(4.0)
    stage.lives[1].ready()
    ticket = stage.order(1)
    stage.lives[1].make()
    await ticket.pictures


async def test_loading_has_its_time(stage: Stage) -> None:
    starting = asyncio.create_task(stage.service.start())
    await asyncio.sleep(0)
    stage.wait(50.1)
    assert stage.lives[0].killed
    stage.lives[0].lose()
    with pytest.raises(MachineError, match="it was not ready after 50 s"):
        await starting


def _no_process(self: HandWork, listen: Callable[[Event], None]) -> None:
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
