"""From the command line's words to a server that runs until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator

import structlog
import uvicorn
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics
from starlette.types import ASGIApp

from mixdq.configs.bundle import Bundle
from mixdq.configs.errors import MixdqError
from mixdq.runtime.policy.points import Menu
from mixdq.runtime.server.app import create_app
from mixdq.runtime.server.connections import ConnectionLimits, protocol_of
from mixdq.runtime.server.encode import Encoder
from mixdq.runtime.server.engines import Engines
from mixdq.runtime.server.lifecycle import serve_until_signal
from mixdq.runtime.server.listening import BACKLOG, Listening, allow_descriptors, bind
from mixdq.runtime.server.logs import LogObserver, configure_logs
from mixdq.runtime.server.metrics import ServiceMetrics, StatusCollector
from mixdq.runtime.server.offer import Offer
from mixdq.runtime.server.service import Service
from mixdq.runtime.server.settings import HttpSettings
from mixdq.runtime.server.status_api import RecentSizes

_LAST_ANSWERS_S = 5
"""For answers that are being sent when everything that was accepted is made."""


def run_server(
    engines: Engines, offer: Offer, settings: HttpSettings, listening: Listening, log_level: str
) -> None:
    """Serves until SIGTERM or SIGINT.

    Everything that can be checked is, before the first worker starts.

    Raises:
        MixdqError: what was asked for can't be served; says why.
    """
    offer.rehearse(Bundle.read(engines.folder))
    allow_descriptors(listening.connections.count)
    with bind(listening.host, listening.port) as listener, Encoder(os.cpu_count() or 1) as encoder:
        configure_logs(sys.stderr, log_level)
        server = _Server(engines, offer, settings, listening, encoder)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(server.run(listener))


class _Server:
    """One life: start, announce, wait for signals, drain, stop."""

    def __init__(
        self, engines: Engines, offer: Offer, settings: HttpSettings, listening: Listening, encoder: Encoder
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        recent = RecentSizes()
        observers = (ServiceMetrics(registry), recent, LogObserver())
        self._service = Service(engines.folder, offer.blueprint(engines.open), time.monotonic, observers)
        registry.register(StatusCollector(self._service))
        app = create_app(self._service, settings, encoder, registry, recent)
        self._folder, self._listening = engines.folder, listening
        self._http = QuietServer(http_config(app, listening.connections))
        self._weighs = offer.has_utilities
        self._log = structlog.stdlib.get_logger("mixdq.server")

    async def run(self, listener: socket.socket) -> None:
        """Until it is told to stop.

        Raises:
            MixdqError: the bundle can't be served.
        """
        http = asyncio.create_task(self._http.serve(sockets=[listener]))
        try:
            if await self._started():
                self._announce(listener)
                folder, drain_s = self._folder, self._listening.drain_s
                ending = await serve_until_signal(self._service, folder, drain_s, self._reloaded)
                self._log.info("ended", how=ending.value)
        finally:
            await self._service.close()
            self._http.should_exit = True
            await http

    async def _started(self) -> bool:
        """Whether it was; not if it was told to stop before."""
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        # It would end the process; the bundle is being loaded anyway.
        loop.add_signal_handler(signal.SIGHUP, self._log.info, "not reloaded: the bundle is being loaded")
        starting = asyncio.create_task(self._service.start())
        stopping = asyncio.create_task(told.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if starting.done():
            starting.result()
            return not told.is_set()
        starting.cancel()
        return False

    def _reloaded(self, error: MixdqError | None) -> None:
        if error is None:
            self._log.info("reloaded", digest=self._service.status().digest)
        else:
            self._log.error("not reloaded: the old bundle is served on", error=str(error))

    def _announce(self, listener: socket.socket) -> None:
        status = self._service.status()
        assert status.menu is not None
        host, port = listener.getsockname()[:2]
        self._log.info(
            "serving",
            url=f"http://{f'[{host}]' if ':' in host else host}:{port}",
            model=None if status.bundle is None else status.bundle.model.name,
            precision=None if status.bundle is None else status.bundle.plan_summary,
            policy=status.policy,
            objective_ms=1e3 * status.objective_s,
            ms=_times(status.menu),
        )
        for found in status.menu.dominated if self._weighs else ():
            self._log.warning("dominated", size=found.point.resolution, why=str(found))


def http_config(app: ASGIApp, connections: ConnectionLimits) -> uvicorn.Config:
    """How uvicorn serves an application."""
    return uvicorn.Config(
        app,
        http=protocol_of(connections),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )


class QuietServer(uvicorn.Server):
    """uvicorn without its own handling of signals: it would close connections before the work is done."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def _times(menu: Menu) -> dict[int, float]:
    """Milliseconds of one picture by resolution."""
    return {size: round(1e3 * menu.find(size).typical_s[0], 1) for size in menu.resolutions}


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop
