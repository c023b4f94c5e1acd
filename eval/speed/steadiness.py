"""Whether the machine was steady: one engine file must take as long in one configuration as in another."""

from __future__ import annotations

from itertools import combinations

from mixdq.configs.latency_table import LatencyRow, LatencyTable

_MARGIN = 1.02
"""Ranges of three processes each lie apart by chance in one of ten pairs, but then by less."""


def unsteady_line(table: LatencyTable) -> str | None:
    """A warning if a stage of the same engine files took other times in two configurations.

    Stages are compared that were measured in several processes each, at the same size, on the same target and
    device. They took other times if the ranges of their processes' medians are apart by more than 2 %; of
    several such pairs the two that are furthest apart are named. None if there is none.
    """
    found = [(_apart(one, other), one, other) for one, other in _same_engines(table)]
    apart = [pair for pair in found if pair[0] > _MARGIN]
    if not apart:
        return None
    _, one, other = max(apart, key=lambda pair: pair[0])
    more = f" ({len(apart) - 1} more such pairs)" if len(apart) > 1 else ""
    return (
        f"warning: the machine was not steady: {one.name} of {one.source} and of {other.source} is the same "
        f"engine file ({one.target} on {one.device}, {one.resolution} pixels), and processes took "
        f"{_range(one)} and {_range(other)} ms{more}; differences of that size say nothing: measure again "
        "when the machine is idle"
    )


def _same_engines(table: LatencyTable) -> list[tuple[LatencyRow, LatencyRow]]:
    groups: dict[tuple[object, ...], list[LatencyRow]] = {}
    for row in table.rows:
        run = table.runs.get(row.run_digest)
        if row.kind != "stage" or row.processes < 2 or run is None or row.name not in run.engines:
            continue
        files = tuple(sorted(run.engines[row.name].values()))
        size = (row.target, row.device, row.resolution, row.batch, row.steps)
        groups.setdefault((row.name, files, *size), []).append(row)
    return [pair for rows in groups.values() for pair in combinations(rows, 2)]


def _apart(one: LatencyRow, other: LatencyRow) -> float:
    """The slower row's fastest process as a multiple of the faster row's slowest; above 1 none overlap."""
    low, high = sorted((one, other), key=lambda row: row.lowest_process_us)
    return high.lowest_process_us / low.highest_process_us


def _range(row: LatencyRow) -> str:
    return f"{row.lowest_process_us / 1e3:.1f} to {row.highest_process_us / 1e3:.1f}"
