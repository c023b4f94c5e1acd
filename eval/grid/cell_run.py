"""Times and memory of one cell, in a fresh process of its own."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from mixdq.compiler.memory import give_back, peak_mib, reset_peak
from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.documents import STRICT
from mixdq.configs.errors import BundleError, MachineError, MixdqError
from mixdq.configs.grid_table import CellState
from mixdq.configs.latency_table import STAGES
from mixdq.eval.grid.bystanders import Processors, others_between
from mixdq.eval.speed.nvml import GpuPeak, memory_watch
from mixdq.eval.speed.out_of_memory import advice, killed, ran_out
from mixdq.eval.speed.subject import Case, Drawer


@dataclass(frozen=True, slots=True, config=STRICT)
class Turn:
    """What one process measured of a cell.

    Attributes:
        stages: microseconds of every measured batch of pictures, by stage.
        clocks: what each stage was measured by.
        host_baseline_mib: see `MemoryRow`, here and below.
        host_peak_mib: over loading, warm-up and all measured pictures.
        allocator: allocated and reserved.
        gpu: what the driver saw: process, before, peak, after.
        others: processors that other processes kept busy, on average, while the batches were measured; None
            if nobody counted.
    """

    stages: dict[str, tuple[float, ...]]
    clocks: dict[str, str]
    host_baseline_mib: float
    host_peak_mib: float
    allocator: tuple[float, float] | None
    gpu: tuple[float | None, float, float, float] | None
    others: float | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class Missed:
    """Why a process gave no figures."""

    state: CellState
    reason: str


def measure_turn(case: Case, warmup: int, repeats: int, report: Report) -> Turn | Missed:
    """Loads and draws the case in a fresh process; what goes wrong there is a result too.

    Args:
        case: what to measure.
        warmup: batches drawn before.
        repeats: batches measured, at least 2.
        report: told how far it is.
    """
    try:
        return run_in_child(_measure, case, warmup, repeats, report=report).value
    except MixdqError as error:
        return missed(error, case)


def missed(error: MixdqError, case: Case) -> Missed:
    """What the error of a cell's process means for the cell."""
    if ran_out(error) or "SIGKILL" in str(error):
        told = killed(error, case) if isinstance(error, MachineError) else error
        return Missed(CellState.OUT_OF_MEMORY, str(told))
    if isinstance(error, BundleError):
        return Missed(CellState.GONE, str(error))
    return Missed(CellState.FAILED, str(error))


def _measure(report: Report, case: Case, warmup: int, repeats: int) -> Turn | Missed:
    report("importing", 0, None)
    case.subject.prepare()
    give_back()
    reset_peak()
    baseline = peak_mib()
    try:
        with memory_watch(case.subject.label.device) as watch:
            report("loading", 0, None)
            drawer = case.subject.open(case)
            try:
                _warm_up(report, drawer, warmup)
                before = Processors.now()
                stages = _draw(report, drawer, repeats)
                others = others_between(before, Processors.now())
                clocks, allocator = {name: drawer.clock(name) for name in STAGES}, drawer.allocator_peak_mib()
            finally:
                drawer.close()
    except Exception as error:
        if not ran_out(error):
            raise
        return Missed(CellState.OUT_OF_MEMORY, f"memory ran out ({_first_line(error)}); {advice(case)}")
    gpu = None if watch is None else watch.peak
    return Turn(stages, clocks, baseline, peak_mib(), allocator, _plain(gpu), others)


def _warm_up(report: Report, drawer: Drawer, warmup: int) -> None:
    for done in range(warmup):
        report("warming up", done, warmup)
        drawer.draw()


def _draw(report: Report, drawer: Drawer, repeats: int) -> dict[str, tuple[float, ...]]:
    times = []
    for done in range(repeats):
        report("measuring", done, repeats)
        times.append(drawer.draw())
    return {name: tuple(round(one[name], 2) for one in times) for name in STAGES}


def _plain(peak: GpuPeak | None) -> tuple[float | None, float, float, float] | None:
    return None if peak is None else (peak.process, peak.before, peak.peak, peak.after)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
