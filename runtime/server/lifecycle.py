"""What signals do to a server: SIGTERM and SIGINT end it, SIGHUP has it load its bundle again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from mixdq.configs.errors import MixdqError
from mixdq.runtime.server.service import Service

_STOP = (signal.SIGTERM, signal.SIGINT)


class Ending(StrEnum):
    """How a service ended."""

    DRAINED = "drained"
    """Everything that had been accepted ended by itself."""
    TOO_SLOW = "too slow"
    """Time ran out before it had."""
    FORCED = "forced"
    """A second signal came before it had."""


async def serve_until_signal(
    service: Service, folder: Path, drain_s: float, reloaded: Callable[[MixdqError | None], None]
) -> Ending:
    """Returns when the service has ended: after the first SIGTERM or SIGINT it drains, at a second it stops.

    Must run in the main thread's loop, which gets the signals.

    Args:
        service: which has started.
        folder: of its bundle; SIGHUP loads what is there then, and serves on what it has if that fails.
        drain_s: how long what was accepted may take.
        reloaded: is told how each reload went: None, or why the old bundle is served on.
    """
    loop = asyncio.get_running_loop()
    stops: asyncio.Queue[int] = asyncio.Queue()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(_reload(service, folder, reloaded))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in _STOP:
        loop.add_signal_handler(number, stops.put_nowait, number)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        await stops.get()
        return await _drain(service, drain_s, stops)
    finally:
        for number in (*_STOP, signal.SIGHUP):
            loop.remove_signal_handler(number)
        await service.close()
        await asyncio.gather(*reloads)


async def _drain(service: Service, drain_s: float, stops: asyncio.Queue[int]) -> Ending:
    draining = asyncio.create_task(service.drain(drain_s))
    second = asyncio.create_task(stops.get())
    await asyncio.wait((draining, second), return_when=asyncio.FIRST_COMPLETED)
    second.cancel()
    if draining.done():
        return Ending.DRAINED if draining.result() else Ending.TOO_SLOW
    draining.cancel()
    return Ending.FORCED


async def _reload(service: Service, folder: Path, reloaded: Callable[[MixdqError | None], None]) -> None:
    try:
        await service.reload(folder)
    except MixdqError as error:
        reloaded(error)
    else:
        reloaded(None)
