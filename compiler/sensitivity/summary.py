"""A measurement in words: how fast it was, and which layers mind few bits most."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.sensitivity.header import Header
from mixdq.compiler.sensitivity.journal import Entry
from mixdq.compiler.sensitivity.measure import Outcome
from mixdq.compiler.sensitivity.pace import expected_s, in_words
from mixdq.configs.layers import Group
from mixdq.configs.sensitivity import PAPER_METRICS, Metric, Operand

_SHOWN = 5


def summary(outcome: Outcome, peak_mib: float) -> Iterator[RenderableType]:
    """The run's figures, the most sensitive layers, and what is still to be measured."""
    if outcome.finished is not None:
        yield f"{outcome.finished} holds this table already; --restart measures again"
    header = outcome.header
    if header is None:
        return
    if outcome.now:
        seconds = sum(entry.seconds for entry in outcome.entries)
        rate = len(outcome.entries) / seconds
        yield (
            f"{len(outcome.entries)} layers x {_trials(header)} variants x {header.prompts} prompts at "
            f"{header.resolution} pixels in {seconds:.1f} s on {header.device}: {rate:.2f} layers/s; before "
            f"them {outcome.opening_s:.1f} s to calibrate and open the model; peak {peak_mib:.0f} MiB"
        )
    for operand, bits in header.widths.items():
        for group in Group:
            if rows := _most_sensitive(outcome, operand, group):
                yield f"most sensitive {operand}s of {group} layers, {PAPER_METRICS[group]}:"
                yield _ranking(rows, PAPER_METRICS[group], bits)
    if outcome.table is None:
        yield _what_is_left(outcome)


def _trials(header: Header) -> int:
    return sum(len(bits) for bits in header.widths.values())


def _most_sensitive(
    outcome: Outcome, operand: Operand, group: Group
) -> list[tuple[Entry, tuple[float, ...]]]:
    """The layers with the lowest scores at the fewest bits."""
    layers, metric = outcome.layers, PAPER_METRICS[group]
    of_group = [entry for entry in outcome.entries if layers[entry.layer].group is group]
    rows = [(entry, entry.scores[operand][metric]) for entry in of_group]
    return sorted(rows, key=lambda row: (row[1], row[0].layer))[:_SHOWN]


def _ranking(rows: list[tuple[Entry, tuple[float, ...]]], metric: Metric, bits: tuple[int, ...]) -> Table:
    table = Table(box=None)
    table.add_column("layer")
    for width in bits:
        table.add_column(f"{width} bits", justify="right")
    digits = 2 if metric.endswith("db") else 4
    for entry, scores in rows:
        table.add_row(entry.layer, *(f"{score:.{digits}f}" for score in scores))
    return table


def _what_is_left(outcome: Outcome) -> str:
    groups = [layer.group for layer in outcome.layers]
    pace = [(outcome.layers[entry.layer].group, entry.seconds) for entry in outcome.entries]
    return (
        f"measured {len(outcome.entries)} of {len(groups)} layers; all of them would take about "
        f"{in_words(expected_s(pace, groups))} at this rate. The same command without --layers and --sample "
        "measures the others"
    )
