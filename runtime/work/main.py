"""The worker process: holds a bundle's engines and makes one batch after another.

    python -m mixdq.runtime.work.main FD

FD is its end of a socket pair; the first value on it is a `WorkerSpec`, the others are jobs. A picture that
can't be made is answered with `Failed`; a defect ends the process with its traceback on stderr.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from mixdq.configs.errors import MachineError, MixdqError, RequestError, TargetError
from mixdq.runtime.loading import load
from mixdq.runtime.pipeline import Pipeline
from mixdq.runtime.work.bos import check_bos
from mixdq.runtime.work.frames import receive, to_frame
from mixdq.runtime.work.job import Event, Failed, Job, Made, Pixels, Ready
from mixdq.runtime.work.spec import WorkerSpec

_TIMED = 5
_PROMPT = "a picture to warm up"
_PR_SET_PDEATHSIG = 1

Draw: TypeAlias = Callable[[Job], tuple[Pixels, ...]]


def main(argv: Sequence[str], draw_with: Callable[[Pipeline], Draw] | None = None) -> None:
    """Serves until the other end is closed.

    Args:
        argv: the number of the file descriptor.
        draw_with: what makes a job's pictures with a pipeline; None for `drawer`.
    """
    _outlive_no_one()
    with socket.socket(fileno=int(argv[0])) as end:
        end.set_inheritable(False)
        try:
            serve(end, draw_with or drawer)
        except (EOFError, ConnectionError):
            # The server is gone, or wants no more of it.
            return


def serve(end: socket.socket, draw_with: Callable[[Pipeline], Draw]) -> None:
    """Loads what the first value names, then answers jobs.

    Raises:
        EOFError: the other end is closed.
    """
    spec: WorkerSpec = receive(end)
    try:
        pipeline = load(spec.folder, target=spec.target, device=spec.device, threads=spec.threads)
    except MixdqError as error:
        end.sendall(to_frame(Failed(None, str(error))))
        return
    with pipeline:
        draw, peak = draw_with(pipeline), _PeakMemory(spec)
        try:
            check_bos(pipeline, spec.folder)
            ready = Ready(_warm_up(pipeline, draw, spec.steps), peak.read())
        except MixdqError as error:
            end.sendall(to_frame(Failed(None, str(error))))
            return
        end.sendall(to_frame(ready))
        while True:
            end.sendall(to_frame(_answer(draw, receive(end), peak)))


def drawer(pipeline: Pipeline) -> Draw:
    """Makes a job's pictures with a pipeline."""

    def draw(job: Job) -> tuple[Pixels, ...]:
        images = pipeline(job.prompts, seed=job.seeds, resolution=job.resolution, steps=job.steps)
        return tuple(np.asarray(image) for image in images)

    return draw


def _answer(draw: Draw, job: Job, peak: _PeakMemory) -> Event:
    start = time.perf_counter()
    try:
        pictures = draw(job)
    except RequestError as error:
        return Failed(job.number, str(error))
    return Made(job.number, pictures, time.perf_counter() - start, peak.read())


def _warm_up(pipeline: Pipeline, draw: Draw, steps: int) -> dict[int, dict[int, tuple[float, ...]]]:
    """Seconds of a picture alone and of as many as the engines make at once, several of each resolution."""
    bundle = pipeline.bundle
    return {
        resolution: {count: _times(draw, resolution, count, steps) for count in sorted({1, bundle.batch})}
        for resolution in bundle.resolutions
    }


def _times(draw: Draw, resolution: int, count: int, steps: int) -> tuple[float, ...]:
    """Seconds of warm batches, after one that may open the engines."""
    job = Job(0, (_PROMPT,) * count, tuple(range(count)), resolution, steps)
    draw(job)
    times = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        draw(job)
        times.append(time.perf_counter() - start)
    return tuple(times)


class _PeakMemory:
    """Of the device that computes, so far: the GPU's in use, of this process on the CPU."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._on_gpu = spec.target != "cpu" or spec.device != "cpu"
        self._highest: int | None = None

    def read(self) -> int | None:
        now = _gpu_bytes() if self._on_gpu else _own_peak()
        if now is not None:
            self._highest = max(now, self._highest or 0)
        return self._highest


def _gpu_bytes() -> int | None:
    """What all programs use of the GPU; None where cuda-bindings is not installed."""
    from mixdq.runtime.cuda_api import free_and_total_bytes

    try:
        free, total = free_and_total_bytes()
    except (MachineError, TargetError):
        return None
    return total - free


def _own_peak() -> int:
    """Resident bytes of this process at most so far: Linux counts KiB, macOS bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def _outlive_no_one() -> None:
    """The server alone says when to end, and its death is an end, too."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
