"""A server of one's own, and its memory."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.eval.load.http import Server
from mixdq.eval.load.launch import launched
from mixdq.eval.load.memory_watch import MemoryWatch
from mixdq.eval.load.run import run_schedule
from mixdq.eval.load.sample import Ending
from mixdq.eval.load.schedule import Wish, make_schedule, warm_up
from mixdq.runtime.simulate.calls import Clients


def test_the_real_server_is_understood_and_stopped_after_it(tiny_bundle: Path, tmp_path: Path) -> None:
    wish = Wish(("red apple",), 24, 60.0)
    with launched((str(tiny_bundle), "--null-engine"), tmp_path / "log" / "server.log", 60.0) as server:
        schedule = make_schedule(Clients(2), 20, 0, wish)
        run = run_schedule(schedule, Server(server.url, None, 30.0), warm_up(2, wish), pid=server.pid)
        process = psutil.Process(server.pid)
    assert [sample.ending for sample in run.samples] == [Ending.MADE] * 20
    replies = [sample.reply for sample in run.samples]
    assert {(reply.size, reply.late, reply.batch is None) for reply in replies} == {(24, False, False)}
    assert all(reply.wait_s is not None and reply.service_s is not None for reply in replies)
    assert (run.facts.precision, run.facts.objective_s) == ("FP16", 1.0)
    assert set(run.facts.service_s) == {16, 24}
    assert len(run.memory) >= 1
    assert all(sample.mib > 10 for sample in run.memory)
    assert not process.is_running()


def test_a_server_that_can_not_start_is_said_with_the_end_of_its_log(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    with (
        pytest.raises(EvaluationError, match=r"mixdq-serve ended with 2: error: .*nowhere"),
        launched((nowhere,), tmp_path / "server.log", 60.0),
    ):
        pytest.fail("it can't be ready")


def test_memory_is_that_of_all_processes_and_of_none_that_is_gone() -> None:
    now_s = iter((1.0, 2.0))
    watch = MemoryWatch(os.getpid(), 1.0, lambda: next(now_s))
    watch.sample()
    (sample,) = watch.samples
    own_mib = psutil.Process().memory_info().rss / (1 << 20)
    assert sample.at_s == 1.0
    assert own_mib * 0.8 < sample.mib
    with pytest.raises(EvaluationError, match="there is no process"):
        MemoryWatch(_gone(), 1.0, lambda: 0.0)


def test_nothing_is_watched_without_a_process() -> None:
    watch = MemoryWatch(None, 1.0, lambda: 0.0)
    watch.sample()
    assert watch.samples == []


def _gone() -> int:
    """The number of a process that has ended."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    return pid
