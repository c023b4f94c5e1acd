"""A line a configuration for spreadsheets: median, 95th percentile and peak memory of whole pictures."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from mixdq.configs.files import write_text
from mixdq.configs.latency_table import WHOLE, LatencyTable
from mixdq.configs.memory_table import MemoryTable
from mixdq.eval.speed.subject import Case

COLUMNS = ("mode", "res", "p50_ms", "p95_ms", "peak_mem_GB", "prompt")
MIN_WARMUP = 2
"""Pictures that are drawn before those whose times go into the file, at least."""

_GB_PER_MIB = (1 << 20) / 1e9


def write_csv(path: Path, cases: Sequence[Case], latency: LatencyTable, memory: MemoryTable) -> None:
    """Writes the whole picture of every case.

    `mode` is the plan in words, or the reference's precision; `peak_mem_GB` (10^9 bytes) is
    `MemoryRow.peak_mib`.

    Args:
        path: the file.
        cases: what was measured.
        latency: holds the times of all of them.
        memory: holds the memory of all of them.
    """
    text = StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for case in cases:
        label = case.subject.label
        time = latency.find(
            WHOLE,
            resolution=case.resolution,
            batch=case.batch,
            precision=label.precision,
            plan_digest=label.plan_digest,
            target=label.target,
            device=label.device,
            steps=case.drawing.steps,
            source=label.source,
        )
        peak = next(row for row in memory.rows if row.identity == _identity(case))
        gigabytes = peak.peak_mib * _GB_PER_MIB
        figures = (f"{time.median_us / 1e3:.3f}", f"{time.p95_us / 1e3:.3f}", f"{gigabytes:.4f}")
        lines.writerow((label.precision, case.resolution, *figures, case.drawing.prompt))
    write_text(path, text.getvalue())


def _identity(case: Case) -> tuple[object, ...]:
    label = case.subject.label
    what = (label.source, label.model, label.precision, label.plan_digest, label.target, label.device)
    return (*what, case.resolution, case.batch, case.drawing.steps)
