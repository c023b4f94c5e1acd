"""One schedule against one server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from mixdq.configs.errors import EvaluationError
from mixdq.eval.load.drive import Timer, drive
from mixdq.eval.load.facts import Facts, read_facts
from mixdq.eval.load.http import Sender, Server, check_ready, open_session
from mixdq.eval.load.memory_watch import MemorySample, MemoryWatch
from mixdq.eval.load.sample import Ending, Reply, Sample
from mixdq.eval.load.schedule import Planned, Schedule

_MEMORY_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """What one schedule met.

    Attributes:
        schedule: what was sent.
        samples: what became of it, in the order of sending.
        facts: what the server said of itself.
        memory: of the server's processes, in the order of time; `at_s` after the beginning. Empty if nobody
            looked.
    """

    schedule: Schedule
    samples: tuple[Sample, ...]
    facts: Facts = field(default_factory=Facts)
    memory: tuple[MemorySample, ...] = ()


def run_schedule(
    schedule: Schedule, server: Server, warm: Sequence[Planned], *, pid: int | None = None
) -> Run:
    """Warms the server up, sends a schedule and waits for all answers.

    Args:
        schedule: what to send.
        server: where to.
        warm: what is sent before, one after another, and not counted.
        pid: the server's process on this machine, whose memory is watched; None for not.

    Raises:
        EvaluationError: no server is there or ready, it can't make the first pictures, or there is no such
            process.
    """
    return asyncio.run(_run(schedule, server, warm, pid))


def facts_of(server: Server) -> Facts:
    """What a server says of itself.

    Raises:
        EvaluationError: no server is there or ready.
    """
    return asyncio.run(_facts(server))


async def _facts(server: Server) -> Facts:
    async with open_session(server) as session:
        await check_ready(session, server)
        return await read_facts(session, server)


async def _run(schedule: Schedule, server: Server, warm: Sequence[Planned], pid: int | None) -> Run:
    timer = Timer()
    async with open_session(server) as session:
        await check_ready(session, server)
        facts = await read_facts(session, server)
        send = Sender(session, server, timer.now)
        for planned in warm:
            _check_warm(await send(planned))
        watch = MemoryWatch(pid, _MEMORY_INTERVAL_S, timer.now)
        begun_s = timer.now()
        async with watch.running():
            samples = await drive(schedule, send, timer)
    memory = tuple(MemorySample(one.at_s - begun_s, one.mib) for one in watch.samples)
    return Run(schedule, samples, facts, memory)


def _check_warm(reply: Reply) -> None:
    if reply.ending is not Ending.MADE:
        raise EvaluationError(
            f"the server made no picture to warm up with (status {reply.status}: {reply.message}); see that "
            "it can make one, or pass --warmup 0"
        )
