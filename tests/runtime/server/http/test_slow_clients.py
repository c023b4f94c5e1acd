"""Clients that are slow, go away, or come all at once; pictures take as long as a test says."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.bundle import Bundle
from mixdq.runtime.work.job import Job
from mixdq.runtime.work.null import NullWork

from .serving import CONNECTIONS, SETTINGS, Client, head, read_all, thread_server, until

_IMAGES = "/v1/images/generations"
_BODY = b'{"prompt": "a"}'


@pytest.fixture
def hasty(tiny_folder: Path) -> Iterator[Client]:
    """A server that waits for no one."""
    connections = replace(CONNECTIONS, head_s=0.5, unread_s=0.5)
    with thread_server(
        tiny_folder, settings=replace(SETTINGS, body_s=0.5), connections=connections
    ) as client:
        yield client


class _Held(NullWork):
    """Makes its pictures when it is let go."""

    def __init__(self, bundle: Bundle, go: threading.Event) -> None:
        super().__init__(bundle.resolutions)
        self._go = go

    def submit(self, job: Job) -> None:
        if self._go.is_set():
            super().submit(job)
        else:
            asyncio.get_running_loop().call_later(0.01, self.submit, job)


def test_headers_that_do_not_come_end_the_connection(hasty: Client) -> None:
    for begin in (b"", b"POST /generate HTTP/1.1\r\nHost:"):
        with hasty.connect() as connection:
            connection.sendall(begin)
            assert read_all(connection) == b""


def test_the_second_request_of_a_connection_may_not_take_longer_either(hasty: Client) -> None:
    with hasty.connect() as connection:
        connection.sendall(head(_IMAGES, _BODY))
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        connection.sendall(b"POST /generate HTTP")
        read_all(connection)


def test_a_body_that_does_not_come_is_answered(hasty: Client) -> None:
    with hasty.connect() as connection:
        connection.sendall(head(_IMAGES, _BODY, length=500))
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"body_too_slow" in answer


def test_a_client_that_does_not_read_its_answer_is_cut_off(tiny_folder: Path) -> None:
    limits = replace(CONNECTIONS, unread_s=0.2)
    with thread_server(tiny_folder, connections=limits) as client, client.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.05)
        until(lambda: _is_cut_off(connection, 200 * b"GET /page/app.js HTTP/1.1\r\nHost: x\r\n\r\n"))


def test_who_goes_away_while_its_picture_waits_or_runs_is_cancelled(tiny_folder: Path) -> None:
    go = threading.Event()
    with thread_server(tiny_folder, work=lambda bundle: _Held(bundle, go)) as client:
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(client.connect()).sendall(head(_IMAGES, _BODY))
            until(lambda: client.counts()["accepted"] == 3)
        until(lambda: client.counts()["cancelled"] == 3)
        assert client.counts()["waiting"] == 0
        go.set()
        assert client.draw().status == 200


def test_a_request_that_takes_too_long_is_given_up(tiny_folder: Path) -> None:
    with thread_server(tiny_folder, pause_s=1.0, settings=replace(SETTINGS, request_s=0.1)) as client:
        answer = client.draw()
        assert answer.status == 504
        assert answer.error["code"] == "too_slow"
        assert client.counts()["cancelled"] == 1


def test_a_picture_after_its_deadline_says_so(tiny_folder: Path) -> None:
    with thread_server(tiny_folder, pause_s=0.2) as client:
        assert client.draw(slo_ms=50).json["data"][0]["late"] is True
        assert client.draw(slo_ms=5000).json["data"][0]["late"] is False
        assert client.counts()["late"] == 1


def test_more_connections_than_allowed_are_told_so(tiny_folder: Path) -> None:
    limits = replace(CONNECTIONS, count=5)
    with thread_server(tiny_folder, connections=limits) as client, ExitStack() as stack:
        open_ones = [stack.enter_context(client.connect()) for _ in range(6)]
        assert b"too_many_connections" in read_all(open_ones[-1])
        open_ones[0].sendall(head(_IMAGES, _BODY))
        assert open_ones[0].recv(100).startswith(b"HTTP/1.1 200")


def test_a_thousand_connections_at_once_are_all_answered(tiny_folder: Path) -> None:
    limits = replace(CONNECTIONS, count=1500, head_s=20.0)
    with thread_server(tiny_folder, connections=limits) as client, ExitStack() as stack:
        open_ones = [stack.enter_context(client.connect()) for _ in range(1000)]
        packet = head(_IMAGES, _BODY).replace(b"Host: x", b"Host: x\r\nConnection: close")
        for connection in open_ones:
            connection.sendall(packet)
        answers = [read_all(connection)[:12] for connection in open_ones]
        assert answers == [b"HTTP/1.1 200"] * 1000
        assert client.counts()["done"] == 1000


def test_clients_side_by_side_each_get_their_own_seed(grey: Client) -> None:
    found: dict[int, int] = {}

    def ask(seed: int) -> None:
        found[seed] = grey.draw(seed=seed).json["data"][0]["seed"]

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {seed: seed for seed in range(20)}


def _is_cut_off(connection: socket.socket, packet: bytes) -> bool:
    try:
        connection.sendall(packet)
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return False
