"""Logs: a line an event on stderr, JSON unless a person reads along."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable
from contextvars import Context
from typing import Any, TextIO

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.types import Processor

from mixdq.runtime.policy.request import Outcome, Request
from mixdq.runtime.server.errors import CLIENT_GONE
from mixdq.runtime.server.metrics import HttpMetrics
from mixdq.runtime.server.supervisor import Phase

_DEFECT = 500
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = ("/health", "/health/live", "/health/ready", "/metrics", "/status", "/", "/favicon.ico")
"""Asked for every few seconds, or of no interest: logged with `--log-level debug` only."""


def configure_logs(stream: TextIO, level: str) -> None:
    """Sends our events, and those of the libraries, to a stream.

    Args:
        stream: a terminal gets lines for people, anything else JSON.
        level: `debug`, `info`, `warning` or `error`.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(timestamp_key="time")]
        if stream.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=shared, processors=[ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # Its start and end are ours, and we say them.
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, logging.root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=True,
    )


def note(**facts: Any) -> None:
    """Adds to what the log says of the request at hand."""
    structlog.contextvars.bind_contextvars(**facts)


class AccessLog:
    """Middleware: gives each request a number, says it in the answer, logs and counts the request."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics
        self._log: BoundLogger = structlog.stdlib.get_logger("mixdq.http")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get("x-request-id", "")
        name = asked if _REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        structlog.contextvars.clear_contextvars()
        note(request_id=name)
        began_s, status = time.monotonic(), CLIENT_GONE

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = name
                headers["OpenAI-Processing-Ms"] = str(round(1e3 * (time.monotonic() - began_s)))
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception:
            # The answer is made outside of this, by Starlette.
            status = _DEFECT
            raise
        finally:
            self._end(scope, status, time.monotonic() - began_s)

    def _end(self, scope: Scope, status: int, took_s: float) -> None:
        path = scope["path"]
        self._metrics.answered(_route(scope), status, took_s)
        say = self._log.debug if path in _QUIET or path.startswith("/page/") else self._log.info
        say("request", method=scope["method"], path=path, status=status, ms=round(1e3 * took_s, 2))


class LogObserver:
    """Logs what happens to the workers, and every picture that ends badly; an observer of the service."""

    def __init__(self) -> None:
        self._log: BoundLogger = structlog.stdlib.get_logger("mixdq.service")

    def arrived(self, count: int) -> None:
        """Requests are logged when they end."""

    def refused(self, reason: str, count: int) -> None:
        """Requests are logged when they end."""

    def settled(
        self,
        request: Request,
        outcome: Outcome,
        wait_s: float,
        service_s: float | None,
        resolution: int | None,
    ) -> None:
        """Says which picture was dropped or could not be made."""
        if outcome in (Outcome.SHED, Outcome.ERROR):
            waited_ms = round(1e3 * wait_s)
            ending = {"number": request.number, "outcome": outcome.value, "waited_ms": waited_ms}
            _write(self._log.warning, "picture", **ending)

    def batch(self, resolution: int, size: int, service_s: float) -> None:
        """For those who look closely."""
        _write(self._log.debug, "batch", resolution=resolution, pictures=size, ms=round(1e3 * service_s, 2))

    def worker_changed(self, number: int, phase: Phase, reason: str | None) -> None:
        """A line for each, a warning with the reason if it was lost."""
        if phase in (Phase.LOST, Phase.ENDING):
            _write(self._log.warning, "worker", number=number, phase=phase.value, reason=reason)
        else:
            _write(self._log.info, "worker", number=number, phase=phase.value)


def _write(say: Callable[..., Any], event: str, **facts: Any) -> None:
    """Without what was noted of a request: timers that were set for one carry it on to what concerns all."""
    Context().run(say, event, **facts)


def _route(scope: Scope) -> str:
    """Its pattern, of which there are few; not what was asked for, of which there are many."""
    route = scope.get("route")
    return getattr(route, "path", None) or "none"
