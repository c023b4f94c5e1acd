"""Servers to talk to: the command in a process of its own, or the application in a thread."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from mixdq.configs.bundle import Bundle
from mixdq.runtime.policy.points import Menu, make_menu, plain_points
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.policy.static import Static
from mixdq.runtime.server.app import create_app
from mixdq.runtime.server.auth import ApiKeys
from mixdq.runtime.server.blueprint import Blueprint
from mixdq.runtime.server.connections import ConnectionLimits
from mixdq.runtime.server.encode import Encoder
from mixdq.runtime.server.metrics import ServiceMetrics, StatusCollector
from mixdq.runtime.server.running import QuietServer, http_config
from mixdq.runtime.server.service import Service
from mixdq.runtime.server.settings import HttpSettings
from mixdq.runtime.server.status_api import RecentSizes
from mixdq.runtime.server.supervisor import Patience
from mixdq.runtime.work.job import Work
from mixdq.runtime.work.null import NullWork

Json = dict[str, Any]
SETTINGS = HttpSettings(
    keys=ApiKeys(()),
    body_bytes=16 << 10,
    body_s=10.0,
    prompt_characters=200,
    most_pictures=4,
    request_s=20.0,
    steps=1,
    log_prompts=False,
    target="cpu",
    has_utilities=True,
)
CONNECTIONS = ConnectionLimits(count=100, head_s=10.0, head_bytes=8 << 10, unread_s=10.0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Json:
        found: Json = json.loads(self.content)
        return found

    @property
    def error(self) -> Json:
        """Its error object, which has exactly OpenAI's four fields."""
        found: Json = self.json["error"]
        assert set(self.json) == {"error"}
        assert set(found) == {"message", "type", "param", "code"}
        return found


@dataclass(frozen=True, slots=True)
class Client:
    """Talks to a server."""

    url: str

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, None, headers)

    def post(self, path: str, body: object, **headers: str) -> Answer:
        """Sends JSON; bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, content, {"Content-Type": "application/json"} | headers)

    def draw(self, **fields: object) -> Answer:
        """Asks for pictures."""
        return self.post("/v1/images/generations", {"prompt": "a cat"} | fields)

    def send(self, method: str, path: str, content: bytes | None, headers: dict[str, str]) -> Answer:
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return _answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.headers, error.read())

    def connect(self) -> socket.socket:
        """A connection to misuse."""
        host, port = self.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=10)

    def counts(self) -> Json:
        """What became of the pictures; they add up."""
        found: Json = self.get("/status").json["counts"]
        ends = ("done", "late", "shed", "cancelled", "error")
        assert found["arrived"] == found["accepted"] + found["refused"], found
        assert found["accepted"] == sum(found[end] for end in ends) + found["waiting"] + found["running"], (
            found
        )
        return found


def _answer(status: int, headers: Message, content: bytes) -> Answer:
    return Answer(status, {name.lower(): value for name, value in headers.items()}, content)


def head(path: str, body: bytes, length: int | None = None) -> bytes:
    """A POST by hand."""
    size = len(body) if length is None else length
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {size}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_all(connection: socket.socket) -> bytes:
    """Until the server closes."""
    found = bytearray()
    while part := connection.recv(1 << 16):
        found += part
    return bytes(found)


def until(truth: Any, within_s: float = 10.0) -> None:
    """Waits for something to become true."""
    end_s = time.monotonic() + within_s
    while not truth():
        assert time.monotonic() < end_s, "it did not come true"
        time.sleep(0.01)


class ProcessServer:
    """`mixdq-serve DIR` with its log."""

    def __init__(self, folder: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        code = "from mixdq.runtime.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder), "--port", "0", *options],
            stderr=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
            text=True,
        )
        self.log: list[Json] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def client(self) -> Client:
        """Once it serves."""
        until(lambda: self.events("serving") or self.process.poll() is not None, 60)
        return Client(self.events("serving")[0]["url"])

    def events(self, name: str) -> list[Json]:
        return [line for line in self.log if line["event"] == name]

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Its exit code, after it has ended by itself."""
        code = self.process.wait(30)
        self._reader.join()
        return code

    def kill(self) -> None:
        """Whatever it does."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(json.loads(line) if line.startswith("{") else {"event": "raw", "line": line})


@contextmanager
def thread_server(
    folder: Path,
    *,
    pause_s: float = 0.0,
    queue: int = 1000,
    settings: HttpSettings = SETTINGS,
    connections: ConnectionLimits = CONNECTIONS,
    objective_s: float = 30.0,
    work: Callable[[Bundle], Work] | None = None,
) -> Iterator[Client]:
    """The application over grey pictures, in a thread of this process; its books are checked at the end."""
    with socket.socket() as listener, Encoder(2) as encoder:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ready, stop = threading.Event(), threading.Event()

        def grey(bundle: Bundle) -> Work:
            return NullWork(bundle.resolutions, pause_s)

        open_work = work or grey

        def menu(bundle: Bundle, _: object) -> Menu:
            sizes = bundle.resolutions
            return make_menu(plain_points({s: s * 1e-3 for s in sizes}, {s: s / 24 for s in sizes}, 0.0))

        blueprint = Blueprint(
            work=lambda folder, _: open_work(Bundle.read(folder)),
            menu=menu,
            policy=lambda menu: Static(menu.points[-1]),
            workers=1,
            objective_s=objective_s,
            steps=1,
            limits=QueueLimits(queue, 1 << 26),
            switch_s=0.0,
            rate_memory_s=5.0,
            patience=Patience(),
        )

        async def serve() -> None:
            registry, recent = CollectorRegistry(), RecentSizes()
            observers = (ServiceMetrics(registry), recent)
            service = Service(folder, blueprint, time.monotonic, observers)
            registry.register(StatusCollector(service))
            app = create_app(service, settings, encoder, registry, recent)
            http = QuietServer(http_config(app, connections))
            task = asyncio.create_task(http.serve(sockets=[listener]))
            await service.start()
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.01)
            http.should_exit = True
            await task
            await service.close()

        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        ready.wait(10)
        client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            yield client
            if not settings.keys:
                client.counts()
        finally:
            stop.set()
            thread.join()


def with_keys(keys: ApiKeys) -> HttpSettings:
    """The settings, with keys."""
    return replace(SETTINGS, keys=keys)
