"""Connections of clients that are slow, many, or no HTTP: bounded in time, number and bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mixdq.runtime.server.errors import error_response


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a connection may take.

    Attributes:
        count: open at the same time.
        head_s: seconds until a request's headers are there.
        head_bytes: of them.
        unread_s: seconds in which a client that stopped reading has to go on.
    """

    count: int
    head_s: float
    head_bytes: int
    unread_s: float


def protocol_of(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """Uvicorn's protocol with limits, which it has none of its own for."""

    class Limited(_Limited):
        LIMITS = limits

    return Limited


class _Limited(HttpToolsProtocol):
    LIMITS: ConnectionLimits

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes: int | None = 0
        """Of a request whose headers are not all there; None while none is awaited."""
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.LIMITS.count:
            self._refuse(503, "too many connections", "too_many_connections")
            return
        self._timer = self._after(self.LIMITS.head_s, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._head_bytes is not None and self.parser is not None:
            self._head_bytes += len(data)
            if self._head_bytes > self.LIMITS.head_bytes:
                self._refuse(431, "the headers are too large", "headers_too_large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is not None:
            self._timer.cancel()
        self._head_bytes = 0
        self._timer = self._after(self.LIMITS.head_s, self.transport.close)

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        if self._timer is not None:
            self._timer.cancel()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self._after(self.LIMITS.unread_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        # Closing waits for who does not read what is left.
        self._after(self.LIMITS.unread_s, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "this is no HTTP that can be read", "invalid_http")

    def _refuse(self, status: int, message: str, code: str) -> None:
        response = error_response(status, message, code=code, headers={"Connection": "close"})
        lines = [f"HTTP/1.1 {status} {code}".encode(), *(b": ".join(pair) for pair in response.raw_headers)]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(response.body)]))
        self.transport.close()

    def _after(self, seconds: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        return self.loop.call_later(seconds, act)
