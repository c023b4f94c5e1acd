"""Memory of bundles and of the reference, one fresh process a case, into a table that can be continued."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.errors import MachineError
from mixdq.configs.memory_table import MemoryRow, MemoryTable
from mixdq.eval.speed.measured_files import continued, here
from mixdq.eval.speed.memory_run import CasePeaks, measure_peaks
from mixdq.eval.speed.out_of_memory import killed
from mixdq.eval.speed.subject import Case

_MIB_DIGITS = 1


def measure_memory(cases: Sequence[Case], pictures: int, out: Path | None, report: Report) -> MemoryTable:
    """Measures every case in turn, each in a fresh process.

    The table is written after each of them; those that it holds already are not measured again.

    Args:
        cases: what to measure.
        pictures: batches that each draws.
        out: the table's file; it may hold other cases, which are kept. None to write none.
        report: told how far it is.

    Raises:
        EvaluationError: the file was measured on another machine or with other versions.
        MixdqError: a case can't be loaded or drawn.
    """
    table = (continued(out, MemoryTable.read) if out is not None else None) or MemoryTable((), *here())
    for place, case in enumerate(cases):
        digest = case.digest("memory", pictures)
        if any(row.run_digest == digest for row in table.rows):
            continue

        def tell(phase: str, done: int, total: int | None, case: Case = case, place: int = place) -> None:
            report(f"{place + 1} of {len(cases)}: {case.title}: {phase}", done, total)

        try:
            peaks = run_in_child(measure_peaks, case, pictures, report=tell).value
        except MachineError as error:
            raise killed(error, case) from error
        table = table.updated([_row(case, peaks, pictures, digest)])
        if out is not None:
            table.write(out)
    return table


def _row(case: Case, peaks: CasePeaks, pictures: int, digest: str) -> MemoryRow:
    label, gpu = case.subject.label, peaks.gpu
    allocated, reserved = peaks.allocator or (None, None)
    return MemoryRow(
        source=label.source,
        model=label.model,
        precision=label.precision,
        plan_digest=label.plan_digest,
        target=label.target,
        device=label.device,
        resolution=case.resolution,
        batch=case.batch,
        steps=case.drawing.steps,
        weights_mib=_rounded(case.subject.weights_mib(case.resolution)),
        host_baseline_mib=round(peaks.host_baseline, _MIB_DIGITS),
        host_peak_mib=round(peaks.host_peak, _MIB_DIGITS),
        allocator_allocated_mib=_rounded(allocated),
        allocator_reserved_mib=_rounded(reserved),
        gpu_process_mib=_rounded(None if gpu is None else gpu.process),
        gpu_before_mib=_rounded(None if gpu is None else gpu.before),
        gpu_peak_mib=_rounded(None if gpu is None else gpu.peak),
        gpu_after_mib=_rounded(None if gpu is None else gpu.after),
        pictures=pictures,
        run_digest=digest,
    )


def _rounded(mib: float | None) -> float | None:
    return None if mib is None else round(mib, _MIB_DIGITS)
