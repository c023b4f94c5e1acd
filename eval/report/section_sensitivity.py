"""How few layers are sensitive: each quantized alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mixdq.configs.layers import Group, LayerName, LayerTable
from mixdq.configs.sensitivity import PAPER_METRICS, Metric, Operand, SensitivityTable
from mixdq.eval.report.chart_plane import Axis, Point, Series, plane
from mixdq.eval.report.chart_shapes import Chart
from mixdq.eval.report.found import Document
from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Block, Figure, Heading, Section, Table
from mixdq.eval.report.words import cells, counted, fixed, significant

_LISTED = 8
_FLOOR = 1e-9
"""What loses less is not drawn: it is rounding, and 0 has no place on an axis of powers."""
_STYLES = {2: "s1", 3: "s6", 4: "s4", 5: "s3", 6: "s2", 7: "s5", 8: "s0"}


def sensitivity_section(results: Results) -> Section:
    """The tail of each table, by group and operand, and the layers at its head."""
    tables = {document.content.digest: document.content for document in results.found.layers}
    blocks: list[Block] = []
    documents = results.found.sensitivities
    for place, document in enumerate(documents, start=1):
        layers = tables.get(document.content.layers_digest)
        if layers is None:
            continue
        document.content.check(layers)
        if len(documents) > 1:
            blocks.append(Heading(document.name))
        blocks += _blocks(document, layers, f"sensitivity-{place}")
    return Section(
        "sensitivity",
        "Sensitivity",
        tuple(blocks),
        "Every layer quantized alone, sorted by what that costs: a long tail of layers that nobody would "
        "miss, and a few that must be kept.",
    )


def _blocks(document: Document[SensitivityTable], layers: LayerTable, key: str) -> Iterator[Block]:
    table = document.content
    charts = [_tail(table, layers, group, operand) for group in Group for operand in table.scores]
    how = table.measurement
    measured = (
        ""
        if how is None
        else f" {counted(how.prompts, 'prompt')} at {how.resolution} pixels, seed {how.seed}, "
        f"{'BOS-aware' if how.bos_aware else 'not BOS-aware'}."
    )
    yield Figure(
        "What one layer alone loses at so many bits, the most sensitive first; both axes are logarithmic. "
        f"Content is judged by SSIM of the pictures, quality by SQNR of the UNet's output.{measured}",
        tuple(charts),
    )
    for group in Group:
        yield _head(table, layers, group, key)


def _scores(
    table: SensitivityTable, layers: LayerTable, group: Group, operand: Operand, bits: int
) -> Mapping[LayerName, float]:
    metric = PAPER_METRICS[group]
    return {
        layer.name: table.score(operand, metric, layer.name, bits) for layer in layers if layer.group is group
    }


def _lost(metric: Metric, score: float) -> float:
    """1 - SSIM, or the noise's power over the signal's."""
    decibels = metric in (Metric.SQNR, Metric.X0_SQNR)
    return 10 ** (-score / 10) if decibels else 1 - score


def _tail(table: SensitivityTable, layers: LayerTable, group: Group, operand: Operand) -> Chart:
    metric = PAPER_METRICS[group]
    series = []
    for bits in table.widths[operand]:
        scores = _scores(table, layers, group, operand, bits)
        lost = sorted((_lost(metric, score) for score in scores.values()), reverse=True)
        points = tuple(Point(rank, value) for rank, value in enumerate(lost, start=1) if value > _FLOOR)
        if not points:
            continue
        series.append(Series(points, _STYLES[bits], joined=True, dots=False, label=f"{bits} bits"))
    unit = "1 − SSIM" if metric is Metric.SSIM else "noise power / signal power"
    return plane(
        f"{group.capitalize()} {operand}s",
        series,
        Axis("layers, sorted", is_log=True),
        Axis(unit, is_log=True),
        f"{unit}, a line each for {', '.join(map(str, table.widths[operand]))} bits",
    )


def _head(table: SensitivityTable, layers: LayerTable, group: Group, key: str) -> Table:
    """The layers that lose most at the largest width, of either operand."""
    metric = PAPER_METRICS[group]
    rows = []
    for operand, widths in table.widths.items():
        by_width = [_scores(table, layers, group, operand, bits) for bits in widths]
        for name, _ in sorted(by_width[-1].items(), key=lambda item: item[1])[:_LISTED]:
            shown = (_in_unit(metric, scores[name]) for scores in by_width)
            figures = dict(zip(widths, shown, strict=True))
            rows.append((name, operand, layers[name].role, figures))
    every = sorted({bits for widths in table.widths.values() for bits in widths})
    unit = "1 − SSIM" if metric is Metric.SSIM else "SQNR dB"
    return Table(
        key=f"{key}-{group}",
        caption=f"{group.capitalize()}: the {_LISTED} most sensitive weights and activations, {unit}",
        heads=("layer", "operand", "role", *(f"{bits} bits" for bits in every)),
        rows=tuple(
            cells(name, operand, role, *(figures.get(bits, "–") for bits in every))
            for name, operand, role, figures in rows
        ),
        words=frozenset({"operand", "role"}),
        folded=True,
    )


def _in_unit(metric: Metric, score: float) -> str:
    return significant(1 - score, 3) if metric is Metric.SSIM else fixed(score, 1)
