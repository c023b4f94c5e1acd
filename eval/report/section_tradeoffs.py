"""Quality against time and memory: which configurations no other beats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixdq.configs.latency_table import WHOLE
from mixdq.configs.quality_table import QualityTable
from mixdq.eval.report.chart_frontier import Candidate, frontier_chart
from mixdq.eval.report.chart_shapes import Chart
from mixdq.eval.report.found import Document
from mixdq.eval.report.naming import short_names
from mixdq.eval.report.origins import Origin
from mixdq.eval.report.results import Results
from mixdq.eval.report.section_quality import count_of, metrics_of
from mixdq.eval.report.section_speed import measured_latencies
from mixdq.eval.report.view import Block, Figure, Heading, Section

_METRICS = 3
"""Metrics of one document that are drawn: beyond them the charts repeat each other."""
_PREFERRED = ("PSNR", "CLIP", "emoji alignment", "FID", "ImageReward", "SSIM")

_Cost = dict[tuple[str, int, int], float]
"""By plan digest, resolution and steps."""


def tradeoffs_section(results: Results) -> Section:
    """Charts for each document of quality with each machine's times and memory."""
    blocks: list[Block] = []
    several = len(results.found.qualities) > 1
    for document in results.found.qualities:
        charts = list(_charts(results, document))
        if charts:
            blocks += [Heading(document.name)] if several else []
            blocks.append(
                Figure(
                    f"{count_of(document.content):,} pictures each. The dotted line joins the configurations "
                    "that no other beats in both; full precision is not on the charts of likeness to itself. "
                    "Of what was measured more than once the first document's figure is drawn.",
                    tuple(charts),
                )
            )
    return Section("trade-offs", "Trade-offs", tuple(blocks))


def _charts(results: Results, document: Document[QualityTable]) -> Iterator[Chart]:
    for origin in results.origins:
        for cost, unit in (
            (_times(results, origin), "ms a picture"),
            (_peaks(results, origin), "MiB, peak of the process"),
        ):
            for metric in _chosen(document.content):
                candidates = _candidates(results, document.content, metric, cost)
                if len(candidates) > 1:
                    title = f"{metric} against {unit.partition(',')[0]}"
                    if len(results.origins) > 1:
                        title += f", machine {origin.letter}"
                    better = metrics_of(document.content)[metric]
                    yield frontier_chart(title, candidates, unit, metric, more_is_better=better)


def _chosen(table: QualityTable) -> Sequence[str]:
    """Few metrics of different kinds, the better known first."""
    metrics = list(metrics_of(table))
    first = [next((name for name in metrics if name.startswith(word)), None) for word in _PREFERRED]
    return [name for name in first if name is not None][:_METRICS]


def _times(results: Results, origin: Origin) -> _Cost:
    return {
        (row.plan_digest or "", row.resolution, row.steps): row.median_us / row.batch / 1e3
        for document in reversed(measured_latencies(results))
        if results.origins.letter(document) == origin.letter
        for row in document.content.rows
        if row.name == WHOLE and row.batch == 1
    }


def _peaks(results: Results, origin: Origin) -> _Cost:
    return {
        (row.plan_digest or "", row.resolution, row.steps): row.peak_mib
        for document in reversed(results.found.memories)
        if results.origins.letter(document) == origin.letter
        for row in document.content.rows
        if row.batch == 1
    }


def _candidates(results: Results, table: QualityTable, metric: str, cost: _Cost) -> list[Candidate]:
    names = short_names(row.pictures for row in table.rows)
    found = []
    for row in table.rows:
        score = next((one for one in row.scores if one.metric == metric), None)
        key = (row.plan_digest or "", row.resolution, row.steps)
        if score is not None and key in cost:
            found.append(
                Candidate(names[row.pictures], cost[key], score.value, results.colours.of(row.plan_digest))
            )
    return found + _reference(results, table, metric, cost)


def _reference(results: Results, table: QualityTable, metric: str, cost: _Cost) -> list[Candidate]:
    """Full precision's own score, where pictures have scores of their own: a row's less its difference."""
    if not table.rows or table.reference_plan is None:
        return []
    first = table.rows[0]
    key = (table.reference_plan_digest or "", first.resolution, table.reference_steps or first.steps)
    own = [
        score.value - score.against_reference[0]
        for score in first.scores
        if score.metric == metric and score.against_reference is not None
    ]
    if not own or key not in cost:
        return []
    name = short_names([table.reference])[table.reference]
    return [Candidate(name, cost[key], own[0], results.colours.of(table.reference_plan_digest))]
