"""A server under mixed traffic for long: neither its memory nor its descriptors grow.

Two minutes; `MIXDQ_SOAK_S=3600 python -m pytest -m full tests/full/test_soak.py -s` for an hour.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
import pytest

from ..conftest import make_bundle
from ..runtime.server.http.serving import Client, ProcessServer, head, until

SOAK_S = float(os.environ.get("MIXDQ_SOAK_S", "120"))
SAMPLES = 40
# The allocators' own slack: arenas of the threads that encode.
MIB_SLACK = 12
pytestmark = [pytest.mark.full, pytest.mark.timeout(SOAK_S + 120)]


@dataclass(frozen=True, slots=True)
class Sample:
    """Of one process."""

    mib: float
    descriptors: int


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProcessServer]:
    make_bundle(tmp_path)
    utilities = ("--utility", "16=0.5", "--utility", "24=1")
    started = ProcessServer(tmp_path, *utilities, "--objective-ms", "2000")
    try:
        yield started
    finally:
        started.kill()


def test_memory_and_descriptors_do_not_grow(server: ProcessServer) -> None:
    client = server.client
    processes = [server.process.pid, client.get("/status").json["workers"][0]["pid"]]
    dice = random.Random(0)
    for _ in range(200):  # pools and caches fill
        meddle(client, dice)
    samples: dict[int, list[Sample]] = {pid: [] for pid in processes}
    step_s = SOAK_S / SAMPLES
    asked = 0
    for number in range(SAMPLES):
        end_s = time.monotonic() + step_s
        while time.monotonic() < end_s:
            meddle(client, dice)
            asked += 1
            time.sleep(0.05)
        for pid in processes:
            samples[pid].append(look(pid))
        print(number, asked, *(samples[pid][-1] for pid in processes), flush=True)
    until(lambda: not client.counts()["running"] and not client.counts()["waiting"])
    assert client.get("/status").json["workers"][0]["pid"] == processes[1]
    assert client.counts()["error"] == 0
    for found in samples.values():
        early, late = found[SAMPLES // 4 : SAMPLES // 2], found[-SAMPLES // 4 :]
        grown = median(one.mib for one in late) - median(one.mib for one in early)
        assert grown < MIB_SLACK, f"{grown:.1f} MiB more"
        assert max(one.descriptors for one in late) <= max(one.descriptors for one in early) + 2


def look(pid: int) -> Sample:
    process = psutil.Process(pid)
    return Sample(process.memory_info().rss / (1 << 20), process.num_fds())


def meddle(client: Client, dice: random.Random) -> None:
    """One of the things that clients do."""
    kind = dice.randrange(10)
    if kind < 6:
        size = dice.choice(["auto", "16x16", "24x24"])
        answer = client.draw(prompt=f"a cat {dice.random()}", size=size, seed=dice.randrange(1 << 30))
        assert answer.status in (200, 429), answer.content
    elif kind == 6:
        assert client.post("/v1/images/generations", b'{"prompt": ').status == 400
    elif kind == 7:
        client.get("/metrics")
        client.get("/")
    elif kind == 8:
        with client.connect() as gone:  # goes away while its picture is made
            gone.sendall(head("/v1/images/generations", b'{"prompt": "gone", "size": "24x24"}'))
    else:
        with client.connect() as gone:  # goes away within its body
            gone.sendall(head("/v1/images/generations", b'{"prompt"', length=1000))
