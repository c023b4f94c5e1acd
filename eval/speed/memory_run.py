"""The memory of one case, in a fresh process."""

from __future__ import annotations

from dataclasses import dataclass

from mixdq.compiler.memory import give_back, peak_mib, reset_peak
from mixdq.compiler.worker import Report
from mixdq.eval.speed.nvml import GpuPeak, memory_watch
from mixdq.eval.speed.out_of_memory import out_of_memory_named
from mixdq.eval.speed.subject import Case


@dataclass(frozen=True, slots=True)
class CasePeaks:
    """MiB; see `MemoryRow`."""

    host_baseline: float
    host_peak: float
    allocator: tuple[float, float] | None
    gpu: GpuPeak | None


def measure_peaks(report: Report, case: Case, pictures: int) -> CasePeaks:
    """Loads the subject of a case and draws some batches of pictures.

    Args:
        report: told how far it is.
        case: what to measure.
        pictures: batches to draw; the first needs more memory than the others on some back ends.

    Raises:
        MixdqError: it can't be loaded or drawn; memory that runs out names a smaller batch.
    """
    report("importing", 0, None)
    case.subject.prepare()
    give_back()
    reset_peak()
    baseline = peak_mib()
    with out_of_memory_named(case), memory_watch(case.subject.label.device) as watch:
        report("loading", 0, None)
        drawer = case.subject.open(case)
        try:
            for done in range(pictures):
                report("drawing", done, pictures)
                drawer.draw()
            allocator = drawer.allocator_peak_mib()
        finally:
            drawer.close()
    return CasePeaks(baseline, peak_mib(), allocator, None if watch is None else watch.peak)
