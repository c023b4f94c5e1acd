"""What goes wrong on real machines, done to `mixdq-serve` from outside; its books add up afterwards."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from mixdq.configs.bundle import Bundle, Component

from .serving import Client, ProcessServer, until

_CLOCK = """
import pathlib, time
_real, _step = time.time, pathlib.Path({step!r})
time.time = lambda: _real() - 86400 * _step.exists()
"""


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A bundle that may be damaged."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "bundle"))


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[ProcessServer]:
    """A server of its own; a file `step` sets Python's wall clock back by a day."""
    (tmp_path / "sitecustomize.py").write_text(_CLOCK.format(step=str(tmp_path / "step")))
    started = ProcessServer(
        folder,
        *("--utility", "16=0.5", "--utility", "24=1", "--objective-ms", "60000"),
        environment={"PYTHONPATH": str(tmp_path)},
    )
    try:
        yield started
    finally:
        started.kill()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def worker(client: Client) -> psutil.Process:
    """The process that draws."""
    return psutil.Process(client.get("/status").json["workers"][0]["pid"])


def settled(client: Client) -> dict[str, int]:
    """The counts once nothing waits or runs."""
    until(lambda: not client.counts()["running"] and not client.counts()["waiting"])
    found: dict[str, int] = client.counts()
    return found


def test_a_worker_that_is_killed_mid_batch_costs_no_client_its_picture(
    server: ProcessServer, pool: ThreadPoolExecutor
) -> None:
    client = server.client
    before = client.draw(prompt="a cat", seed=5, size="24x24").json["data"][0]
    first = worker(client)
    first.suspend()
    answers = [pool.submit(client.draw, prompt="a cat", seed=5, size="24x24") for _ in range(4)]
    until(lambda: client.counts()["running"] and client.counts()["accepted"] == 5)
    first.kill()
    drawn = [answer.result().json["data"][0] for answer in answers]
    assert {one["b64_json"] for one in drawn} == {before["b64_json"]}
    assert max(one["attempts"] for one in drawn) == 2
    assert worker(client).pid != first.pid
    counts = settled(client)
    assert counts["done"] == counts["arrived"] == 5
    assert client.get("/status").json["workers"][0]["restarts"] == 1


def test_sigterm_under_load_answers_whom_it_accepted_and_exits_with_0(
    server: ProcessServer, pool: ThreadPoolExecutor
) -> None:
    client = server.client
    busy = worker(client)
    busy.suspend()
    answers = [pool.submit(client.draw, seed=seed, size="16x16") for seed in range(12)]
    until(lambda: client.counts()["accepted"] == 12)
    server.tell(signal.SIGTERM)
    until(lambda: client.get("/health/ready").status == 503)
    late = client.draw(size="16x16")
    assert (late.status, late.error["code"]) == (503, "not_serving")
    assert "retry-after" in late.headers
    busy.resume()
    assert [answer.result().status for answer in answers] == [200] * 12
    assert server.end() == 0


def test_a_second_sigterm_stops_at_once(server: ProcessServer, pool: ThreadPoolExecutor) -> None:
    client = server.client
    worker(client).suspend()
    answer = pool.submit(client.draw, size="16x16")
    until(lambda: client.counts()["accepted"] == 1)
    server.tell(signal.SIGTERM)
    until(lambda: client.get("/health/ready").status == 503)
    server.tell(signal.SIGTERM)
    assert answer.result().status == 503
    server.end()


def test_a_damaged_engine_is_not_swapped_in(server: ProcessServer, folder: Path) -> None:
    client = server.client
    pid = worker(client).pid
    engine = folder / Bundle.read(folder).find(Component.UNET, "cpu", 16).file.path
    content = engine.read_bytes()
    engine.write_bytes(content[: len(content) // 2])
    server.tell(signal.SIGHUP)
    until(lambda: [line for line in server.log if line["level"] == "error"], 30)
    assert worker(client).pid == pid
    assert client.draw(size="16x16").status == client.draw(size="24x24").status == 200
    engine.write_bytes(content)
    server.tell(signal.SIGHUP)
    until(lambda: worker(client).pid != pid, 30)
    assert client.draw(size="16x16").status == 200
    assert settled(client)["done"] == 3


def test_a_wall_clock_that_is_set_back_a_day_changes_nothing(server: ProcessServer, tmp_path: Path) -> None:
    client = server.client
    before = client.draw(size="16x16", slo_ms=5000).json
    (tmp_path / "step").touch()
    after = client.draw(size="16x16", slo_ms=5000).json
    assert after["created"] < before["created"] - 80_000  # the clock was set back indeed
    assert not after["data"][0]["late"]
    assert 0 <= after["timings"]["total_ms"] < 5000
    status = client.get("/status").json
    assert 0 <= status["uptime_s"] < 600
    assert status["recent"]["count"] == 2
    assert settled(client)["done"] == 2
