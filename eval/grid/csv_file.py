"""The grid as a CSV file: the earlier experiment's columns first, then all else that is known of a cell."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from mixdq.configs.files import write_text
from mixdq.configs.grid_table import CLIP, GridCell, GridTable
from mixdq.configs.latency_table import STAGES, WHOLE

COLUMNS = ("wbits", "res", "p50_ms", "p95_ms", "peak_mem_GB", "clipscore")
"""The earlier experiment's; `clipscore` is empty where no CLIP scored."""

_MORE = (
    *("plan", "target", "device", "batch", "state", "weight_bits", "activation_bits"),
    *("lower_quartile_ms", "upper_quartile_ms", "lowest_process_ms", "highest_process_ms", "runs"),
    *(f"{stage}_p50_ms" for stage in STAGES if stage != WHOLE),
    *("peak_mib", "host_peak_mib", "gpu_process_mib", "gpu_peak_mib", "stored_mib"),
    "others_busy",
    *("config_digest", "plan_digest", "engines_sha256", "pictures", "reason"),
)
_GB_PER_MIB = (1 << 20) / 1e9


def write_grid_csv(path: Path, table: GridTable) -> None:
    """Writes a line a cell, and three columns a metric: its mean, and the ends of the 95 % interval.

    `wbits` are the mean weight bits, rounded; GB are 10^9 bytes; figures that are not there are empty.
    """
    metrics = list(dict.fromkeys(score.metric for cell in table.cells for score in cell.scores))
    text = StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow((*COLUMNS, *_MORE, *(f"{name}{end}" for name in metrics for end in ("", " low", " high"))))
    for cell in table.cells:
        lines.writerow((*_earlier(table, cell), *_more(table, cell), *_scores(cell, metrics)))
    write_text(path, text.getvalue())


def _earlier(table: GridTable, cell: GridCell) -> tuple[object, ...]:
    clip = cell.score(CLIP)
    bits = f"{round(table.plan(cell.plan).weight_bits, 1):g}"
    score = "" if clip is None else f"{clip.value:.4f}"
    if not cell.is_measured:
        return (bits, cell.resolution, "", "", "", score)
    gigabytes = f"{cell.peak_mib * _GB_PER_MIB:.4f}"
    return (bits, cell.resolution, f"{cell.p50_ms:.3f}", f"{cell.p95_ms:.3f}", gigabytes, score)


def _more(table: GridTable, cell: GridCell) -> tuple[object, ...]:
    plan = table.plan(cell.plan)
    return (
        *(cell.plan, cell.target, cell.device, cell.batch, str(cell.state)),
        *(plan.weight_bits, plan.activation_bits),
        *_times(cell),
        *_memory(cell),
        "" if cell.others_busy is None else cell.others_busy,
        *(plan.config_digest, plan.plan_digest, cell.engines_sha256, table.count if cell.scores else 0),
        cell.reason,
    )


def _times(cell: GridCell) -> tuple[object, ...]:
    if not cell.is_measured:
        return ("",) * (5 + len(STAGES) - 1)
    row = cell.picture
    spread = (row.lower_quartile_us, row.upper_quartile_us, row.lowest_process_us, row.highest_process_us)
    stages = (one.median_us for one in cell.times if one.name != WHOLE)
    return (*map(_ms, spread), row.runs, *map(_ms, stages))


def _memory(cell: GridCell) -> tuple[object, ...]:
    if cell.memory is None:
        return ("",) * 5
    row = cell.memory
    found = (row.peak_mib, row.host_peak_mib, row.gpu_process_mib, row.gpu_peak_mib, row.weights_mib)
    return tuple("" if value is None else f"{value:.1f}" for value in found)


def _scores(cell: GridCell, metrics: Sequence[str]) -> tuple[str, ...]:
    found = {score.metric: score for score in cell.scores}
    values = []
    for metric in metrics:
        score = found.get(metric)
        ends = (None, None, None) if score is None else (score.value, score.low, score.high)
        values += ["" if value is None else f"{value:.6g}" for value in ends]
    return tuple(values)


def _ms(microseconds: float) -> str:
    return f"{microseconds / 1e3:.3f}"
