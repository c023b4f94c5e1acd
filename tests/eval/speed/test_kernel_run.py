from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mixdq.compiler.tune.ort_profile import kernels_by_run, recording_us
from mixdq.configs.layers import LayerTable
from mixdq.eval.speed.bundle_subject import BundleSubject
from mixdq.eval.speed.kernel_run import (
    LAYERS,
    PROFILER,
    QUANTIZE,
    REST,
    measure_kernels,
)
from mixdq.eval.speed.subject import Case, Drawing


def _silent(phase: str, done: int, total: int | None) -> None:
    pass


def test_kernels_are_those_of_the_run_that_they_ran_in() -> None:
    events = [
        {"cat": "Session", "name": "model_run", "ts": 100, "dur": 10},
        {"cat": "Node", "name": "late_kernel_time", "ts": 105, "dur": 5},
        {"cat": "Session", "name": "session_initialization", "ts": 0, "dur": 50},
        {"cat": "Session", "name": "model_run", "ts": 60, "dur": 20},
        {"cat": "Node", "name": "early_kernel_time", "ts": 61, "dur": 5},
        {"cat": "Node", "name": "early_fence_before", "ts": 60, "dur": 1},
        {"cat": "Node", "name": "early_too_kernel_time", "ts": 70, "dur": 10},
    ]
    names = [[event["name"] for event in run] for run in kernels_by_run(events)]
    assert names == [["early_kernel_time", "early_too_kernel_time"], ["late_kernel_time"]]


def test_what_recording_takes_is_read_off_kernels_that_do_nothing() -> None:
    def kernels(kind: str, *durations: int) -> list[dict[str, Any]]:
        return [{"dur": duration, "args": {"op_name": kind}} for duration in durations]

    work = kernels("Conv", 3, 900)
    assert recording_us(kernels("Shape", 4, 3, 5, 800) + work) == 4.5
    assert recording_us(kernels("Shape", 4) + work) == 4
    assert recording_us(work) == 3


def test_every_layer_in_full_precision_is_found_behind_its_new_name(emoji_full: Path) -> None:
    case = Case(BundleSubject.of(emoji_full, None, "cpu"), 128, 1, Drawing("red apple", 0, 1))
    times = measure_kernels(_silent, case, warmup=1, repeats=2)
    assert set(times.layers) == set(LayerTable.read(emoji_full / "layers.json").by_name)
    assert not {"MatMul", "Conv", "FusedConv", "Gemm"} & set(times.rest)
    # Of two runs the median is the mean, so that sums of medians are medians of sums: nothing is lost.
    parts = [spread.median for spread in [*times.layers.values(), *times.rest.values()]]
    assert sum(parts) == pytest.approx(sum(times.classes[name].median for name in (LAYERS, REST)))
    assert times.classes[QUANTIZE].median == 0
    assert times.classes[PROFILER].median > 0
