from __future__ import annotations

import os
import re
from typing import Any

import pytest

from mixdq.compiler.worker import Call, Finished, Progress, Worker, run_in_child
from mixdq.configs.errors import MachineError, TargetError


def test_a_function_runs_in_another_process_and_returns_its_value(jobs: Any) -> None:
    assert run_in_child(jobs.add, 2, 3).value == 5
    assert run_in_child(jobs.process_id).value != os.getpid()


def test_the_peak_counts_the_childs_memory_and_not_the_parents(jobs: Any) -> None:
    ballast = bytearray(b"x" * (400 << 20))
    small = run_in_child(jobs.add, 2, 3)
    large = run_in_child(jobs.fill, 200)
    assert len(ballast) > 0
    assert small.peak_mib < 200
    assert 200 < large.peak_mib - small.peak_mib < 450


def test_each_call_of_one_worker_has_a_peak_of_its_own(jobs: Any) -> None:
    with Worker() as worker:
        peaks = []
        for mib in (300, 1):
            worker.submit(Call(jobs.fill, (mib,)))
            message = worker.receive()
            assert isinstance(message, Finished)
            peaks.append(message.peak_mib)
    assert peaks[0] > peaks[1] + 250


def test_progress_reaches_the_parent_in_order(jobs: Any) -> None:
    heard: list[tuple[str, int, int | None]] = []
    finished = run_in_child(
        jobs.count, 3, report=lambda phase, done, total: heard.append((phase, done, total))
    )
    assert heard == [("phase 0", 1, 3), ("phase 1", 2, 3), ("phase 2", 3, 3)]
    assert finished.value == "counted"


def test_an_error_of_mixdq_is_raised_again_as_its_own_kind(jobs: Any) -> None:
    with pytest.raises(TargetError, match="no such thing; use another"):
        run_in_child(jobs.refuse)


def test_a_defect_shows_its_traceback_and_is_no_input_error(jobs: Any) -> None:
    with pytest.raises(RuntimeError, match=r"in stumble[\s\S]*KeyError: 'a defect'"):
        run_in_child(jobs.stumble)


def test_a_killed_child_is_reported_with_its_last_words(jobs: Any) -> None:
    with pytest.raises(MachineError, match=r"ended by SIGKILL; if memory ran out[\s\S]*about to vanish"):
        run_in_child(jobs.vanish)


def test_memory_that_runs_out_is_an_error_of_the_machine(jobs: Any) -> None:
    with pytest.raises(MachineError, match="ran out of memory; use --jobs 1"):
        run_in_child(jobs.exhaust)


@pytest.mark.parametrize(
    "words",
    ["libtorch_cpu.so: failed to map segment from shared object", "[Errno 12] Cannot allocate memory"],
)
def test_memory_that_runs_out_in_a_library_is_the_same_error_in_its_words(jobs: Any, words: str) -> None:
    with pytest.raises(
        MachineError, match=rf"ran out of memory \({re.escape(words)}\); use --jobs 1.*ulimit"
    ):
        run_in_child(jobs.exhaust_in_other_words, words)


def test_a_gpu_whose_memory_runs_out_is_told_from_the_machine(jobs: Any) -> None:
    with pytest.raises(MachineError, match=r"the GPU's memory ran out in a step \(CUDA out of memory"):
        run_in_child(jobs.exhaust_in_other_words, "CUDA out of memory. Tried to allocate 2.00 GiB")


def test_a_stopped_worker_leaves_no_process_and_no_half_file(jobs: Any, tmp_path: Any) -> None:
    with Worker() as worker:
        worker.submit(Call(jobs.half_write, (tmp_path / "file",)))
        assert worker.receive() == Progress("half-way", 1, 2)
        assert list(tmp_path.iterdir())
    assert worker._process.poll() is not None
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_does_not_listen_is_killed(jobs: Any, tmp_path: Any) -> None:
    with Worker() as worker:
        worker.submit(Call(jobs.half_write_deaf, (tmp_path / "file",)))
        worker.receive()
    assert worker._process.poll() is not None
