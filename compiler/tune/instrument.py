"""What measures engines on a target: one implementation for ONNX Runtime, one for TensorRT's products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from mixdq.compiler.tune.engines import EngineFile
from mixdq.compiler.worker import Report
from mixdq.configs.errors import RequestError
from mixdq.configs.layers import LayerName, LayerTable

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Runs:
    """How often each engine runs.

    Attributes:
        warmup: runs before the first that counts.
        repeats: runs that count.

    Raises:
        RequestError: fewer than none.
    """

    warmup: int
    repeats: int

    def __post_init__(self) -> None:
        """Refuses counts that are none."""
        for option, count in (("--warmup", self.warmup), ("--repeats", self.repeats)):
            if count < 0:
                raise RequestError(f"{option} {count} is no number of runs; use 0 or more")


@dataclass(frozen=True, slots=True)
class KernelRun:
    """Microseconds of one profiled run: by layer, and of all that belongs to none."""

    layers: Mapping[LayerName, float]
    rest: float


@dataclass(frozen=True, slots=True)
class InTurns:
    """Runs of two engines in turns, as many of each, in their order.

    Attributes:
        whole: microseconds without a profiler, of the first engine and of the second.
        kernels: with it, likewise.
    """

    whole: tuple[Sequence[float], Sequence[float]]
    kernels: tuple[Sequence[KernelRun], Sequence[KernelRun]]


class Instrument(Protocol):
    """Runs engines on one target; can be pickled, because it works in a child process."""

    def in_turns(
        self,
        report: Report,
        engines: tuple[EngineFile, EngineFile],
        inputs: Mapping[str, Array],
        table: LayerTable,
        runs: Runs,
    ) -> InTurns:
        """Times two engines on the same inputs, the one that is first changing from run to run.

        Raises:
            EvaluationError: no kernel of the profile can be told by its layer.
            MachineError: memory ran out.
        """
        ...

    def outputs(self, engine: EngineFile, batches: Sequence[Mapping[str, Array]]) -> list[Array]:
        """The single output of an engine for each of some inputs, in FP32."""
        ...

    def describe(self) -> Mapping[str, str]:
        """What times depend on beside the machine: packages by version, threads."""
        ...


def fed(engine: EngineFile, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays in the types that an engine's inputs ask for."""
    return {spec.name: arrays[spec.name].astype(spec.dtype) for spec in engine.inputs}


def turns(count: int) -> list[tuple[int, int]]:
    """Which of two engines runs first and second, run by run: what warms up in one favours neither."""
    return [(0, 1) if number % 2 == 0 else (1, 0) for number in range(count)]
