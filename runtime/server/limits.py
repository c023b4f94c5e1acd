"""Bodies: bounded in bytes and time, and JSON."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mixdq.runtime.server.errors import error_response

_SWALLOWED_BYTES = 32 << 20
"""Of a body that is too large, so much is read and dropped: most clients read no answer before."""


class LimitBody:
    """Middleware: reads a body whole, within its limits, before anything else sees the request."""

    def __init__(self, app: ASGIApp, most_bytes: int, most_s: float) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._most_s = most_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on with its body, or answers it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._most_s):
                body = await self._read(receive)
        except TimeoutError:
            body = _closing(408, f"the body did not arrive within {self._most_s:g} s", "body_too_slow")
        if body is None:  # the client is gone
            return
        if isinstance(body, bytes) and body and not _is_json(scope):
            body = error_response(
                415, "a body is JSON: send it with Content-Type: application/json", code="not_json"
            )
        if isinstance(body, Response):
            await body(scope, receive, send)
            return
        await self._app(scope, _Replay(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | Response | None:
        body, dropped, more = bytearray(), 0, True
        while more and dropped < _SWALLOWED_BYTES:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if dropped or len(body) > self._most_bytes:
                dropped += len(body)
                body.clear()
        if dropped:
            limit = f"{self._most_bytes >> 10} KiB"
            return _closing(413, f"the body has more than the {limit} that are taken", "body_too_large")
        return bytes(body)


class _Replay:
    """Gives a body that was read before, and then what comes after it: that the client goes away."""

    __slots__ = ("_body", "_receive")

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        body, self._body = self._body, None
        if body is None:
            return await self._receive()
        return {"type": "http.request", "body": body, "more_body": False}


def _closing(status: int, message: str, code: str) -> Response:
    return error_response(status, message, code=code, headers={"Connection": "close"})


def _is_json(scope: Scope) -> bool:
    # Anything else a browser would send to us from any page without asking first.
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0]
    return kind.strip().lower() == "application/json"
