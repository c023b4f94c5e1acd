"""Times on a GPU: of a whole run, of runs in a row, of each kernel; on a CPU, to try programs, of runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import fmean, quantiles
from typing import Any

import torch
from torch import Tensor

from mixdq.configs.errors import EvaluationError
from mixdq.eval.speed.kernel_kinds import Launch

_RUNS = 50
_IN_A_ROW = 20
_WARM_UP_S = 1.0
_PROFILED = 3
Run = Callable[[], Tensor]


def time_runs(run: Run, device: str) -> dict[str, object]:
    """Milliseconds of a run: median and quartiles from an idle GPU; of one in a queue full of them."""
    if device == "cpu":
        spans = [_on_cpu(run) for _ in range(3)]
        in_a_row = spans[-1]
    else:
        _warm_up(run)
        spans = [_on_gpu(run, 1) for _ in range(_RUNS)]
        in_a_row = _on_gpu(run, _IN_A_ROW)
    low, middle, high = quantiles(spans, n=4)
    figures = {"ms": middle, "ms_q1": low, "ms_q3": high, "ms_in_a_row": in_a_row}
    return {**{name: round(value, 4) for name, value in figures.items()}, "runs": len(spans)}


def profile_run(run: Run) -> list[Launch]:
    """The kernels of one run in their order; times are the mean of three runs. None on a CPU."""
    if not torch.cuda.is_available():
        return []
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA], acc_events=True) as found:
        for _ in range(_PROFILED):
            run()
        torch.cuda.synchronize()
    events: list[Any] = sorted(
        (event for event in found.events() if event.device_type.name == "CUDA"),
        key=lambda event: event.time_range.start,
    )
    length, more = divmod(len(events), _PROFILED)
    if more:
        raise EvaluationError(
            f"the profiler saw {len(events)} kernels in {_PROFILED} runs, expected as many in each; measure "
            "again"
        )
    return [
        Launch(events[place].name, fmean(event.time_range.elapsed_us() for event in events[place::length]))
        for place in range(length)
    ]


def _warm_up(run: Run) -> None:
    """Until the GPU's clock is where it stays."""
    until = time.monotonic() + _WARM_UP_S
    while time.monotonic() < until:
        run()
        torch.cuda.synchronize()


def _on_cpu(run: Run) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def _on_gpu(run: Run, times: int) -> float:
    cuda: Any = torch.cuda
    before, after = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    before.record()
    for _ in range(times):
        run()
    after.record()
    torch.cuda.synchronize()
    return before.elapsed_time(after) / times  # type: ignore[no-any-return]
