"""The times of one case, in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixdq.compiler.worker import Report
from mixdq.configs.latency_table import STAGES
from mixdq.eval.speed.kernel_run import KernelTimes, measure_kernels
from mixdq.eval.speed.nvml import clock_watch
from mixdq.eval.speed.out_of_memory import out_of_memory_named
from mixdq.eval.speed.subject import Case


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often.

    Attributes:
        warmup: pictures that a process draws before.
        repeats: pictures that it measures; at least 2.
        processes: fresh processes of each case; at least 1.
    """

    warmup: int
    repeats: int
    processes: int


@dataclass(frozen=True, slots=True)
class CaseTimes:
    """The times of one process of a case, in microseconds.

    Attributes:
        stages: of every picture, by stage.
        clocks: what each stage was measured by.
        kernels: of the UNet, if they were asked for.
        sm_mhz: the clock rate of the GPU's multiprocessors meanwhile; None without a GPU or NVML.
    """

    stages: Mapping[str, Sequence[float]]
    clocks: Mapping[str, str]
    kernels: KernelTimes | None
    sm_mhz: int | None


def measure_case(report: Report, case: Case, rounds: Rounds, layers: bool) -> CaseTimes:
    """Loads the subject of a case and draws its pictures again and again.

    Args:
        report: told how far it is.
        case: what to measure.
        rounds: how often.
        layers: whether to measure the kernels of the UNet, too.

    Raises:
        MixdqError: it can't be loaded or drawn; memory that runs out names a smaller batch.
    """
    with out_of_memory_named(case):
        report("loading", 0, None)
        drawer = case.subject.open(case)
        seen: dict[str, list[float]] = {name: [] for name in STAGES}
        try:
            for done in range(rounds.warmup):
                report("warming up", done, rounds.warmup)
                drawer.draw()
            with clock_watch(case.subject.label.device) as clock:
                for done in range(rounds.repeats):
                    report("measuring", done, rounds.repeats)
                    times = drawer.draw()
                    for name, values in seen.items():
                        values.append(times[name])
            clocks = {name: drawer.clock(name) for name in STAGES}
        finally:
            drawer.close()
        kernels = measure_kernels(report, case, rounds.warmup, rounds.repeats) if layers else None
    return CaseTimes(seen, clocks, kernels, None if clock is None else clock.sm_mhz)
