"""Time that passes at once, and a server of the API's form that answers as it is told."""

from __future__ import annotations

import asyncio
import base64
import selectors
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar

import pytest
from aiohttp import web

from mixdq.eval.load.sample import Reply, Sample
from mixdq.eval.load.schedule import Planned

T = TypeVar("T")
Answer = Callable[[dict[str, Any]], Awaitable[web.StreamResponse]]
RunVirtually = Callable[[Coroutine[Any, Any, T]], T]


class _VirtualSelector(selectors.SelectSelector):
    """Nothing is waited for: the time of the waiting is added to a clock."""

    now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += timeout or 0.0
        return super().select(0)


@pytest.fixture
def virtual_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop on which `asyncio.sleep` takes no time, and its own clock says that it did."""
    selector = _VirtualSelector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now_s  # type: ignore[method-assign]
    yield loop
    loop.close()


class FakeServer:
    """A server in a thread of its own.

    Attributes:
        bodies: what was asked for.
        headers: of those requests.
        peers: the connections that they came on.
        answer: what it answers to each.
        ready: status of `/health/ready`.
        status: what `/status` says.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.peers: set[object] = set()
        self.answer: Answer = picture
        self.ready = 200
        self.status: dict[str, object] = {
            "objective_ms": 5000.0,
            "utilities": {"512": 0.7, "1024": 1.0},
            "precision": "W8A8 (BOS-aware)",
            "policy": "deadline",
        }
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.url = ""

    def __enter__(self) -> FakeServer:
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> str:
        app = web.Application()
        app.router.add_post("/v1/images/generations", self._generate)
        app.router.add_get("/health/ready", self._health)
        app.router.add_get("/status", self._status)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.json())
        return await self.answer(self.bodies[-1])

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(status=self.ready)

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(self.status)


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    """Makes every picture at once, if not told otherwise."""
    with FakeServer() as server:
        yield server


async def picture(body: dict[str, Any]) -> web.StreamResponse:
    """A picture as the API gives it: 512 pixels for `auto`."""
    size = "512x512" if body["size"] == "auto" else body["size"]
    one = {
        "b64_json": base64.b64encode(b"png").decode(),
        "seed": body["seed"],
        "size": size,
        "late": False,
        "batch": 1,
        "attempts": 1,
        "timings": {"wait_ms": 12.5, "service_ms": 250.0},
    }
    return web.json_response({"created": 1, "data": [one], "size": size})


async def refusal(status: int) -> web.StreamResponse:
    """An error as the API gives it."""
    return web.json_response(
        {"error": {"message": "no room", "type": "t", "param": None, "code": None}}, status=status
    )


def sample(
    number: int = 0,
    *,
    intended_s: float = 0.0,
    sent_s: float | None = None,
    ended_s: float = 1.0,
    status: int = 200,
    size: int | None = 512,
    objective_s: float | None = None,
    wait_s: float | None = None,
    service_s: float | None = None,
) -> Sample:
    """One request that was sent in time, if not said otherwise."""
    planned = Planned(number, intended_s, "red apple", number, None, objective_s, None)
    reply = Reply(ended_s, status, size=size, wait_s=wait_s, service_s=service_s)
    return Sample(planned, intended_s, intended_s if sent_s is None else sent_s, ended_s, reply)
