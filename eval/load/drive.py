"""The run itself: sends what was planned when it was planned, whatever the answers say."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mixdq.eval.load.sample import Reply, Sample
from mixdq.eval.load.schedule import Planned, Schedule

Send = Callable[[Planned], Awaitable[Reply]]
"""Sends one request and gives its answer; raises nothing that the network or the server cause."""

_LEAD_S = 0.1
"""From the call to the first instant of the schedule."""


@dataclass(frozen=True, slots=True)
class Timer:
    """What tells the time and waits.

    Attributes:
        now: seconds on a clock that never goes back.
        sleep: waits so many seconds.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


async def drive(schedule: Schedule, send: Send, timer: Timer) -> tuple[Sample, ...]:
    """Sends a whole schedule and waits for all answers; samples in the order of sending."""
    with _without_collector():
        start_s = timer.now() + _LEAD_S
        if schedule.clients:
            samples = await _answer(schedule, send, timer, start_s)
        else:
            samples = await _follow(schedule.planned, send, timer, start_s)
    return tuple(sorted(samples, key=lambda sample: sample.planned.number))


async def _follow(planned: tuple[Planned, ...], send: Send, timer: Timer, start_s: float) -> list[Sample]:
    """Arrivals that don't wait for answers."""
    async with asyncio.TaskGroup() as group:
        tasks = []
        for one in planned:
            intended_s = start_s + one.at_s
            # Also where nothing is left: those before it have to be sent.
            await timer.sleep(max(0.0, intended_s - timer.now()))
            tasks.append(group.create_task(_sample(one, intended_s, send, timer, start_s)))
    return [task.result() for task in tasks]


async def _answer(schedule: Schedule, send: Send, timer: Timer, start_s: float) -> list[Sample]:
    """Clients that each send a request when the last one was answered."""
    left = iter(schedule.planned)
    await timer.sleep(max(0.0, start_s - timer.now()))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_client(left, send, timer, start_s)) for _ in range(schedule.clients)]
    return [sample for task in tasks for sample in task.result()]


async def _client(left: Iterator[Planned], send: Send, timer: Timer, start_s: float) -> list[Sample]:
    samples = []
    intended_s = start_s
    for one in left:
        sample = await _sample(one, intended_s, send, timer, start_s)
        samples.append(sample)
        intended_s = start_s + sample.ended_s
    return samples


async def _sample(one: Planned, intended_s: float, send: Send, timer: Timer, start_s: float) -> Sample:
    sent_s = timer.now()
    reply = await send(one)
    return Sample(one, intended_s - start_s, sent_s - start_s, reply.ended_s - start_s, reply)


@contextmanager
def _without_collector() -> Iterator[None]:
    """The garbage collector stops the loop for longer than requests may be late."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
