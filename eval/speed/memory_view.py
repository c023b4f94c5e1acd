"""A memory table for people."""

from __future__ import annotations

from collections.abc import Callable

from rich.box import SIMPLE_HEAD
from rich.table import Table

from mixdq.configs.memory_table import MemoryRow, MemoryTable

_Column = Callable[[MemoryRow], float | None]
_COLUMNS: dict[str, _Column] = {
    "weights on disk": lambda row: row.weights_mib,
    "imports": lambda row: row.host_baseline_mib,
    "host peak": lambda row: row.host_peak_mib,
    "less imports": lambda row: row.host_peak_mib - row.host_baseline_mib,
}
_GPU_Column = Callable[[MemoryRow], float | None]
_GPU_COLUMNS: dict[str, _Column] = {
    "torch allocated": lambda row: row.allocator_allocated_mib,
    "torch reserved": lambda row: row.allocator_reserved_mib,
    "GPU, process": lambda row: row.gpu_process_mib,
    "GPU before": lambda row: row.gpu_before_mib,
    "GPU peak": lambda row: row.gpu_peak_mib,
    "GPU after": lambda row: row.gpu_after_mib,
}


def memory_view(table: MemoryTable) -> Table:
    """A line a configuration; the GPU's columns only if something ran on one."""
    on_gpu = any(row.device == "cuda" for row in table.rows)
    columns = _COLUMNS | (_GPU_COLUMNS if on_gpu else {})
    view = Table(title="MiB", caption=_caption(table), caption_justify="left", box=SIMPLE_HEAD)
    view.add_column("source", overflow="fold")
    view.add_column("precision", overflow="fold")
    view.add_column("target, device", no_wrap=True)
    for heading in ("pixels", "batch", *columns):
        view.add_column(heading, justify="right")
    for row in table.rows:
        figures = [_text(figure(row)) for figure in columns.values()]
        place = (f"{row.target}, {row.device}", str(row.resolution), str(row.batch))
        view.add_row(row.source, row.precision, *place, *figures)
    return view


def _text(mib: float | None) -> str:
    return "–" if mib is None else f"{mib:.0f}"


def _caption(table: MemoryTable) -> str:
    packages = ", ".join(f"{name} {text}" for name, text in table.versions.items())
    return (
        "A fresh process a configuration; peaks while it loads and draws. The host's count the pages "
        f"of mapped files that were read. {', '.join(table.machine.values())}. {packages}"
    )
