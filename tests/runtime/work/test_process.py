"""Real worker processes, on a bundle whose pictures are made in no time."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.errors import MachineError
from mixdq.runtime.loading import load
from mixdq.runtime.work.job import Event, Failed, Job, Lost, Made, Ready
from mixdq.runtime.work.process import ProcessWork
from mixdq.runtime.work.spec import WorkerSpec

pytestmark = pytest.mark.anyio

_MORTAL = ("-P", str(Path(__file__).with_name("mortal_main.py")))
_SOON_S = 60.0


class Heard:
    """One life, and what it says."""

    def __init__(self, folder: Path) -> None:
        self.work = ProcessWork(WorkerSpec(folder, "cpu", "cpu", 1, None, 1), _MORTAL)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self.work.start(self._events.put_nowait)

    @property
    def pid(self) -> int:
        pid = self.work.pid
        assert pid is not None
        return pid

    async def next(self) -> Event:
        return await asyncio.wait_for(self._events.get(), _SOON_S)

    def says_nothing(self) -> bool:
        return self._events.empty()


Start = Callable[[Path], Awaitable[Heard]]
"""Starts a worker on a bundle."""


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts workers, and ends them at the end."""
    lives: list[Heard] = []

    async def make(folder: Path) -> Heard:
        lives.append(life := Heard(folder))
        return life

    yield make
    for life in lives:
        life.work.kill()
        await life.work.ended()


def _job(number: int, *prompts: str) -> Job:
    return Job(number, prompts, tuple(range(len(prompts))), 16, 1)


async def test_a_worker_makes_the_pictures_that_the_bundle_makes(start: Start, tiny_bundle: Path) -> None:
    life = await start(tiny_bundle)
    ready = await life.next()
    assert isinstance(ready, Ready)
    assert set(ready.service_s) == {16, 24}
    for batches in ready.service_s.values():
        assert set(batches) == {1, 2}
        assert all(len(times) > 2 and min(times) > 0 for times in batches.values())
    life.work.submit(_job(5, "a cat", "a dog"))
    made = await life.next()
    assert isinstance(made, Made)
    assert made.number == 5
    assert made.peak_bytes is not None
    with load(tiny_bundle) as pipeline:
        expected = pipeline(["a cat", "a dog"], seed=[0, 1], resolution=16)
    for picture, other in zip(made.pictures, expected, strict=True):
        assert np.array_equal(picture, np.asarray(other))


async def test_what_can_not_be_made_costs_the_job_alone(start: Start, tiny_bundle: Path) -> None:
    life = await start(tiny_bundle)
    await life.next()
    life.work.submit(_job(1, "half a pair: \ud800"))
    failed = await life.next()
    assert isinstance(failed, Failed)
    assert failed.number == 1
    assert "no Unicode character" in failed.message
    life.work.submit(_job(2, "a cat"))
    assert isinstance(await life.next(), Made)


async def test_signals_of_a_terminal_or_a_service_manager_are_the_server_s(
    start: Start, tiny_bundle: Path
) -> None:
    life = await start(tiny_bundle)
    await life.next()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(life.pid, number)
    life.work.submit(_job(1, "a cat"))
    assert isinstance(await life.next(), Made)
    assert os.getpgid(life.pid) != os.getpgid(0)


async def test_a_defect_ends_the_process_with_its_words_in_the_log(
    start: Start, tiny_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life = await start(tiny_bundle)
    await life.next()
    with caplog.at_level(logging.WARNING):
        life.work.submit(_job(1, "defect"))
        lost = await life.next()
    assert lost == Lost(
        "its process ended with exit code 1; its last words: ZeroDivisionError: a defect of the worker"
    )
    assert "Traceback" in caplog.text
    assert life.work.pid is None


async def test_a_crash_is_named_by_its_signal(start: Start, tiny_bundle: Path) -> None:
    life = await start(tiny_bundle)
    await life.next()
    life.work.submit(_job(1, "die"))
    assert await life.next() == Lost("its process was ended by SIGSEGV")


async def test_one_that_is_stopped_can_be_killed(start: Start, tiny_bundle: Path) -> None:
    life = await start(tiny_bundle)
    await life.next()
    os.kill(life.pid, signal.SIGSTOP)
    life.work.submit(_job(1, "a cat" * 200_000))  # more than the socket holds: nothing waits for it
    life.work.kill()
    assert await life.next() == Lost("its process was ended by SIGKILL")


async def test_a_damaged_engine_is_refused_before_it_is_ready(start: Start, tiny_bundle: Path) -> None:
    engine = Bundle.read(tiny_bundle).find(Component.UNET, "cpu", 24).file
    path = tiny_bundle / engine.path
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    life = await start(tiny_bundle)
    failed = await life.next()
    assert isinstance(failed, Failed)
    assert failed.number is None
    assert "was changed or damaged" in failed.message
    assert await life.next() == Lost("its process ended with exit code 0")


async def test_one_that_is_let_go_ends_by_itself_and_is_not_heard(start: Start, tiny_bundle: Path) -> None:
    life = await start(tiny_bundle)
    await life.next()
    pid = life.pid
    life.work.stop()
    await asyncio.wait_for(life.work.ended(), _SOON_S)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert life.says_nothing()


async def test_lives_leave_no_descriptors_behind(start: Start, tiny_bundle: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for end in (ProcessWork.kill, ProcessWork.stop):
        life = await start(tiny_bundle)
        await life.next()
        end(life.work)
        await asyncio.wait_for(life.work.ended(), _SOON_S)
    assert set(Path("/proc/self/fd").iterdir()) == before


async def test_a_worker_for_which_no_gpu_is_shown_does_not_start(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    work = ProcessWork(WorkerSpec(tiny_bundle, "cpu", "cuda", 1, 2, 1))
    with pytest.raises(MachineError, match="no GPU for worker 2: CUDA_VISIBLE_DEVICES shows 3,5"):
        work.start(lambda event: None)
    assert work.pid is None


async def test_no_worker_outlives_its_server(tiny_bundle: Path) -> None:
    code = f"""
import asyncio, os, signal
from pathlib import Path
from mixdq.runtime.work.process import ProcessWork
from mixdq.runtime.work.spec import WorkerSpec

async def main():
    heard = asyncio.Queue()
    work = ProcessWork(WorkerSpec(Path({str(tiny_bundle)!r}), "cpu", "cpu", 1, None, 1))
    work.start(heard.put_nowait)
    await heard.get()
    os.kill(work.pid, signal.SIGSTOP)  # it can't notice by itself
    print(work.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    out, _ = await asyncio.wait_for(server.communicate(), _SOON_S)
    pid = int(out)
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if _is_zombie(pid):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"the worker {pid} lives on")


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True
