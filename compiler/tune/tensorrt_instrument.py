"""Measuring with TensorRT and TensorRT for RTX: CUDA graphs for whole runs, IProfiler for layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from mixdq.compiler.tune.device_run import Device, DeviceRun
from mixdq.compiler.tune.engines import EngineFile
from mixdq.compiler.tune.instrument import Array, InTurns, KernelRun, Runs, turns
from mixdq.compiler.worker import Report
from mixdq.configs.layers import LayerTable
from mixdq.configs.machine import installed_versions
from mixdq.configs.target import Target


@dataclass(frozen=True, slots=True)
class TensorRtInstrument:
    """See `Instrument`; both engines are on the GPU at a time.

    Attributes:
        target: whose engines it runs.
    """

    target: Target

    def in_turns(
        self,
        report: Report,
        engines: tuple[EngineFile, EngineFile],
        inputs: Mapping[str, Array],
        table: LayerTable,
        runs: Runs,
    ) -> InTurns:
        """Without the profiler first, as recorded graphs if both can be; then with it."""
        with ExitStack() as stack:
            device = stack.enter_context(Device(self.target))
            opened = [stack.enter_context(DeviceRun(self.target, device, engine)) for engine in engines]
            for one in opened:
                one.feed(inputs)
                one.enqueue()
            device.wait()
            whole = _whole(report, device, opened, runs)
            owners = [
                _owners(engine, one.information, table) for engine, one in zip(engines, opened, strict=True)
            ]
            profiled = [one.profiled() for one in opened]
            kernels: tuple[list[KernelRun], list[KernelRun]] = ([], [])
            for done, order in enumerate(turns(runs.warmup + runs.repeats)):
                report("layer by layer", done, runs.warmup + runs.repeats)
                for number in order:
                    kernels[number].append(owners[number](profiled[number]()))
        return InTurns(whole, (kernels[0][runs.warmup :], kernels[1][runs.warmup :]))

    def outputs(self, engine: EngineFile, batches: Sequence[Mapping[str, Array]]) -> list[Array]:
        """See `Instrument`."""
        found = []
        with Device(self.target) as device, DeviceRun(self.target, device, engine) as opened:
            for batch in batches:
                opened.feed(batch)
                opened.enqueue()
                found.append(opened.output())
        return found

    def describe(self) -> Mapping[str, str]:
        """See `Instrument`."""
        return installed_versions(
            *("tensorrt-rtx-cu13", "tensorrt-rtx", "tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
            *("cuda-bindings", "onnxruntime"),
        )


def _whole(
    report: Report, device: Device, opened: Sequence[DeviceRun], runs: Runs
) -> tuple[Sequence[float], Sequence[float]]:
    launches = [one.enqueue for one in opened]
    if all(one.capturable for one in opened):
        launches = [device.recorded(one.enqueue) for one in opened]
    spent: tuple[list[float], list[float]] = ([], [])
    for done, order in enumerate(turns(runs.warmup + runs.repeats)):
        report("whole runs", done, runs.warmup + runs.repeats)
        for number in order:
            spent[number].append(device.timed_us(launches[number]))
    return spent[0][runs.warmup :], spent[1][runs.warmup :]


def _owners(
    engine: EngineFile, information: str, table: LayerTable
) -> Callable[[Sequence[tuple[str, float]]], KernelRun]:
    import onnx

    from mixdq.compiler.tune.tensorrt_owners import TensorRtOwners

    graph = onnx.load(engine.graph, load_external_data=False).graph
    return TensorRtOwners(graph, list(table.by_name), json.loads(information)).run
