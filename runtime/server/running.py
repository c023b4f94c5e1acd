"""From the command line's words to a server that runs until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass

import structlog
import uvicorn
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from mixdq.configs.bundle import Bundle
from mixdq.configs.errors import MachineError, MixdqError
from mixdq.runtime.policy.points import Menu
from mixdq.runtime.server.app import create_app
from mixdq.runtime.server.connections import ConnectionLimits, protocol_of
from mixdq.runtime.server.encode import Encoder
from mixdq.runtime.server.engines import Engines
from mixdq.runtime.server.logs import LogObserver, configure_logs
from mixdq.runtime.server.metrics import ServiceMetrics, StatusCollector
from mixdq.runtime.server.offer import Offer
from mixdq.runtime.server.service import Service
from mixdq.runtime.server.settings import HttpSettings
from mixdq.runtime.server.status_api import RecentSizes

_BACKLOG = 2048
_LAST_ANSWERS_S = 5
"""For answers that are being sent when everything that was accepted is made."""
_OTHER_DESCRIPTORS = 200


@dataclass(frozen=True, slots=True)
class Listening:
    """Where and how.

    Attributes:
        host: an address of this machine.
        port: 0 for any that is free.
        connections: their limits.
        drain_s: to finish what was accepted when the server is told to stop.
    """

    host: str
    port: int
    connections: ConnectionLimits
    drain_s: float


def run_server(
    engines: Engines, offer: Offer, settings: HttpSettings, listening: Listening, log_level: str
) -> None:
    """Serves until SIGTERM or SIGINT.

    Everything that can be checked is, before the first worker starts.

    Raises:
        MixdqError: what was asked for can't be served; says why.
    """
    offer.rehearse(Bundle.read(engines.folder))
    _allow_descriptors(listening.connections.count)
    with _bind(listening.host, listening.port) as listener, Encoder(os.cpu_count() or 1) as encoder:
        configure_logs(sys.stderr, log_level)
        server = _Server(engines, offer, settings, listening, encoder)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(server.run(listener))


class _Server:
    """One life: start, announce, wait for signals, drain, stop."""

    def __init__(
        self, engines: Engines, offer: Offer, settings: HttpSettings, listening: Listening, encoder: Encoder
    ) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        recent = RecentSizes()
        observers = (ServiceMetrics(registry), recent, LogObserver())
        self._service = Service(engines.folder, offer.blueprint(engines.open), time.monotonic, observers)
        registry.register(StatusCollector(self._service))
        app = create_app(self._service, settings, encoder, registry, recent)
        self._folder, self._listening = engines.folder, listening
        self._http = _Uvicorn(
            uvicorn.Config(
                app,
                http=protocol_of(listening.connections),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=_BACKLOG,
                timeout_graceful_shutdown=_LAST_ANSWERS_S,
            )
        )
        self._weighs = offer.has_utilities
        self._told = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = structlog.stdlib.get_logger("mixdq.server")

    async def run(self, listener: socket.socket) -> None:
        """Until it is told to stop.

        Raises:
            MixdqError: the bundle can't be served.
        """
        self._hear_signals()
        http = asyncio.create_task(self._http.serve(sockets=[listener]))
        try:
            if await self._started():
                self._announce(listener)
                await self._told.wait()
                self._log.info("draining", limit_s=self._listening.drain_s)
                drained = await self._service.drain(self._listening.drain_s)
                self._log.info("drained" if drained else "not all that was accepted is made")
        finally:
            await self._service.close()
            self._http.should_exit = True
            await http

    async def _started(self) -> bool:
        """Whether it was; not if it was told to stop before."""
        starting = asyncio.create_task(self._service.start())
        told = asyncio.create_task(self._told.wait())
        await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if starting.done():
            starting.result()
            return True
        starting.cancel()
        return False

    def _hear_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._later(self._reload()))

    def _stop(self) -> None:
        if not self._told.is_set():
            self._told.set()
            return
        # Told twice: what is not made yet ends with an error.
        self._http.force_exit = True
        self._later(self._service.close())

    async def _reload(self) -> None:
        self._log.info("loading again", folder=str(self._folder))
        try:
            await self._service.reload(self._folder)
        except MixdqError as error:
            self._log.error("the old bundle is served on", error=str(error))
        else:
            self._log.info("the new bundle is served", digest=self._service.status().digest)

    def _later(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own handling of signals: it would close connections before the work is done."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        MachineError: the address is not this machine's, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise MachineError(f"{host} is no address to listen on: {error.strerror or error}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        fix = (
            "choose another one with --port"
            if error.errno == errno.EADDRINUSE
            else "choose another --host or --port"
        )
        raise MachineError(f"can't listen on {host}, port {port}: {error.strerror}; {fix}") from error
    return listener


def _times(menu: Menu) -> dict[int, float]:
    """Milliseconds of one picture by resolution."""
    return {size: round(1e3 * menu.find(size).typical_s[0], 1) for size in menu.resolutions}


def _allow_descriptors(connections: int) -> None:
    """Lets the process have as many open files as it needs.

    Raises:
        MachineError: the system does not allow so many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_DESCRIPTORS
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise MachineError(
            f"{connections} connections need {wanted} open files, and the system allows {hard}: raise "
            "`ulimit -n`, or pass a smaller --most-connections"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop
