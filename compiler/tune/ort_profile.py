"""ONNX Runtime's profile of a graph: microseconds of every layer, run by run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from mixdq.compiler.tune.instrument import KernelRun
from mixdq.compiler.tune.kernel_owners import KernelOwners
from mixdq.configs.layers import LayerName

Event = Mapping[str, Any]

KERNEL = "_kernel_time"
"""How the names of kernels' events end, behind the node's."""
_IDLE_OP = "Shape"


def kernel_runs(events: Sequence[Event], owners: KernelOwners) -> list[KernelRun]:
    """What each run of a profiled session spent on its layers, in the order of the runs."""
    return [_run(kernels, owners) for kernels in kernels_by_run(events)]


def kernels_by_run(events: Sequence[Event]) -> list[list[Event]]:
    """The kernels' events of a profile, run by run."""
    kernels = [event for event in events if event["cat"] == "Node" and event["name"].endswith(KERNEL)]
    spans = [(event["ts"], event["ts"] + event["dur"]) for event in events if event["name"] == "model_run"]
    return [[event for event in kernels if start <= event["ts"] <= end] for start, end in sorted(spans)]


def _run(kernels: Sequence[Event], owners: KernelOwners) -> KernelRun:
    layers: defaultdict[LayerName, float] = defaultdict(float)
    rest, recording = 0.0, recording_us(kernels)
    for event in kernels:
        spent = max(event["dur"] - recording, 0.0)
        found = owners(event["name"].removesuffix(KERNEL), event["args"]["op_name"])
        for layer in found:
            layers[layer] += spent / len(found)
        if not found:
            rest += spent
    return KernelRun(dict(layers), rest)


def recording_us(kernels: Sequence[Event]) -> float:
    """Microseconds of every kernel of a run that are the profiler's own.

    ONNX Runtime puts a kernel's record together before it stops the clock. What that takes is what it shows
    for kernels that do nothing but read a shape: the mean of the middle half of them, as others run between.
    """
    idle: list[float] = sorted(event["dur"] for event in kernels if event["args"]["op_name"] == _IDLE_OP)
    if not idle:
        return float(min((event["dur"] for event in kernels), default=0.0))
    return mean(idle[len(idle) // 4 : len(idle) - len(idle) // 4])
