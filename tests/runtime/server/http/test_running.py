"""The command's life: signals, reloading, workers that die."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mixdq.configs.bundle import Bundle, Component

from ....conftest import make_bundle
from .serving import Answer, Client, ProcessServer, until

Start = Callable[..., ProcessServer]


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A bundle to damage."""
    make_bundle(tmp_path)
    return tmp_path


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers that end with the test."""
    started: list[ProcessServer] = []

    def begin(folder: Path, *options: str) -> ProcessServer:
        started.append(ProcessServer(folder, *options))
        return started[-1]

    yield begin
    for one in started:
        one.kill()


class Crowd:
    """Clients that each ask for ten pictures, side by side."""

    def __init__(self, client: Client, count: int) -> None:
        self.answers: list[Answer] = []
        self._client = client
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def leave(self) -> list[int]:
        """The statuses of all answers."""
        for thread in self._threads:
            thread.join()
        return sorted(answer.status for answer in self.answers)

    def _ask(self) -> None:
        self.answers.append(self._client.draw(n=10, size="24x24"))


def test_sigterm_finishes_what_was_accepted(start: Start, own_folder: Path) -> None:
    server = start(own_folder)
    client = server.client
    crowd = Crowd(client, 8)
    until(lambda: client.counts()["accepted"] == 80)
    server.tell(signal.SIGTERM)
    assert crowd.leave() == [200] * 8
    assert server.end() == 0
    assert server.events("ended")[0]["how"] == "drained"


def test_a_second_sigterm_ends_it_at_once(start: Start, own_folder: Path) -> None:
    server = start(own_folder, "--drain-s", "60")
    client = server.client
    os.kill(_worker(client), signal.SIGSTOP)
    crowd = Crowd(client, 1)
    until(lambda: client.counts()["accepted"] == 10)
    server.tell(signal.SIGTERM)
    until(lambda: client.get("/health/ready").status == 503)
    assert client.get("/health/live").status == 200
    refused = client.draw()
    assert (refused.status, refused.error["code"]) == (503, "not_serving")
    assert refused.headers["retry-after"] == "1"
    server.tell(signal.SIGTERM)
    assert crowd.leave() == [503]
    assert server.end() == 0
    assert server.events("ended")[0]["how"] == "forced"


def test_a_damaged_bundle_is_not_loaded_and_a_killed_worker_costs_no_picture(
    start: Start, own_folder: Path
) -> None:
    server = start(own_folder, "--objective-ms", "60000")
    client = server.client
    crowd = Crowd(client, 4)
    until(lambda: client.counts()["accepted"] == 40)
    os.kill(_worker(client), signal.SIGKILL)
    assert crowd.leave() == [200] * 4
    until(lambda: client.get("/status").json["workers"][0]["restarts"] == 1)
    until(lambda: client.get("/health/ready").status == 200)
    engine = own_folder / Bundle.read(own_folder).find(Component.UNET, "cpu", 16).file.path
    whole = engine.read_bytes()
    engine.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    server.tell(signal.SIGHUP)
    until(lambda: server.events("not reloaded: the old bundle is served on"))
    assert "SHA-256" in server.events("not reloaded: the old bundle is served on")[0]["error"]
    assert client.draw(size="16x16").status == 200
    engine.write_bytes(whole)
    server.tell(signal.SIGHUP)
    until(lambda: server.events("reloaded"))
    assert client.draw(size="16x16").status == 200
    assert client.counts()["done"] == 42


def test_it_can_be_stopped_while_it_loads(start: Start, own_folder: Path) -> None:
    server = start(own_folder)
    until(lambda: server.events("worker"))
    server.tell(signal.SIGINT)
    assert server.end() == 0
    assert not server.events("serving")


def _worker(client: Client) -> int:
    found: int = client.get("/status").json["workers"][0]["pid"]
    return found
