"""When requests are sent, on a clock that passes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mixdq.eval.load.drive import Timer, drive
from mixdq.eval.load.sample import Reply, Sample
from mixdq.eval.load.schedule import Planned, Schedule

Loop = asyncio.AbstractEventLoop


def _planned(*times_s: float) -> tuple[Planned, ...]:
    return tuple(Planned(number, at_s, "x", number, None, None, None) for number, at_s in enumerate(times_s))


def _answering(loop: Loop, service_s: Callable[[int], float]) -> Callable[[Planned], Awaitable[Reply]]:
    async def send(planned: Planned) -> Reply:
        await asyncio.sleep(service_s(planned.number))
        return Reply(loop.time(), 200)

    return send


def _run(
    loop: Loop,
    schedule: Schedule,
    send: Callable[[Planned], Awaitable[Reply]],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> tuple[Sample, ...]:
    return loop.run_until_complete(drive(schedule, send, Timer(loop.time, sleep)))


def test_requests_that_do_not_wait_are_sent_on_time_whatever_the_answers_take(virtual_loop: Loop) -> None:
    schedule = Schedule("poisson", 1.0, 0, _planned(0.0, 0.5, 0.5, 2.0))
    samples = _run(virtual_loop, schedule, _answering(virtual_loop, lambda number: 100.0 - number))
    assert [sample.intended_s for sample in samples] == pytest.approx([0.0, 0.5, 0.5, 2.0])
    assert [sample.lag_s for sample in samples] == pytest.approx([0.0] * 4, abs=1e-9)
    assert [sample.latency_s for sample in samples] == pytest.approx([100.0, 99.0, 98.0, 97.0])
    assert [sample.planned.number for sample in samples] == [0, 1, 2, 3]


def test_what_a_late_client_sends_has_its_latency_from_when_it_was_to_be_sent(virtual_loop: Loop) -> None:
    async def oversleep(left_s: float) -> None:
        await asyncio.sleep(left_s + (0.3 if left_s > 0.9 else 0.0))

    schedule = Schedule("poisson", 1.0, 0, _planned(0.0, 1.0, 1.2, 2.0))
    samples = _run(virtual_loop, schedule, _answering(virtual_loop, lambda _: 0.25), oversleep)
    # The second wakes at 1.3 and makes the third late, too.
    assert [sample.sent_s for sample in samples] == pytest.approx([0.0, 1.3, 1.3, 2.0])
    assert [sample.lag_s for sample in samples] == pytest.approx([0.0, 0.3, 0.1, 0.0], abs=1e-9)
    assert [sample.latency_s for sample in samples] == pytest.approx([0.25, 0.55, 0.35, 0.25])


def test_clients_that_wait_send_when_their_last_answer_came(virtual_loop: Loop) -> None:
    schedule = Schedule("burst 2", 0.0, 2, _planned(0.0, 0.0, 0.0, 0.0, 0.0))
    # One client gets 0 (1 s), 2 (1 s), 3 (1 s) and 4 (1 s), the other 1 (3.5 s).
    times = {0: 1.0, 1: 3.5, 2: 1.0, 3: 1.0, 4: 1.0}
    samples = _run(virtual_loop, schedule, _answering(virtual_loop, times.__getitem__))
    assert [sample.intended_s for sample in samples] == pytest.approx([0.0, 0.0, 1.0, 2.0, 3.0])
    assert [sample.ended_s for sample in samples] == pytest.approx([1.0, 3.5, 2.0, 3.0, 4.0])
    assert [sample.latency_s for sample in samples] == pytest.approx([1.0, 3.5, 1.0, 1.0, 1.0])


def test_clients_for_whom_there_is_no_request_send_none(virtual_loop: Loop) -> None:
    schedule = Schedule("burst 4", 0.0, 4, _planned(0.0))
    (sample,) = _run(virtual_loop, schedule, _answering(virtual_loop, lambda _: 1.0))
    assert sample.latency_s == pytest.approx(1.0)


def test_a_client_that_is_behind_still_sends_one_after_another(virtual_loop: Loop) -> None:
    sent: list[int] = []

    async def send(planned: Planned) -> Reply:
        sent.append(planned.number)
        return Reply(virtual_loop.time(), 200)

    async def sleep(left_s: float) -> None:
        if not left_s:
            behind.append(list(sent))
        await asyncio.sleep(left_s + (5.0 if left_s > 0.9 else 0.0))

    behind: list[list[int]] = []
    _run(virtual_loop, Schedule("poisson", 1.0, 0, _planned(0.0, 1.0, 1.1, 1.2)), send, sleep)
    # When the fourth is due the third has not begun, the second has.
    assert behind == [[0], [0, 1]]
