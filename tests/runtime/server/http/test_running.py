"""The command's life beside what the tests of faults do to it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .serving import ProcessServer, until

Start = Callable[..., ProcessServer]


@pytest.fixture
def start(tiny_folder: Path) -> Iterator[Start]:
    """Starts servers that end with the test."""
    started: list[ProcessServer] = []

    def begin(*options: str) -> ProcessServer:
        started.append(ProcessServer(tiny_folder, *options))
        return started[-1]

    yield begin
    for one in started:
        one.kill()


def test_it_can_be_stopped_while_it_loads_but_not_by_a_wish_to_reload(start: Start) -> None:
    server = start()
    until(lambda: server.events("worker"), 60)
    server.tell(signal.SIGHUP)
    until(lambda: server.events("not reloaded: the bundle is being loaded"))
    server.tell(signal.SIGINT)
    assert server.end() == 0
    assert not server.events("serving")


def test_the_null_engine_needs_no_worker_and_prompts_are_logged_if_asked_for(start: Start) -> None:
    server = start("--null-engine", "--log-prompts")
    client = server.client
    assert client.draw(prompt="a sleepy cat", size="16x16").json["size"] == "16x16"
    assert client.get("/status").json["workers"][0]["pid"] is None
    until(lambda: server.events("request"))
    assert server.events("request")[0]["prompt"] == "a sleepy cat"
    assert server.events("serving")[0]["policy"].startswith("static")
    server.tell(signal.SIGTERM)
    assert server.end() == 0
    assert server.events("ended")[0]["how"] == "drained"
