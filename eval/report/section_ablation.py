"""The paper's steps one after another, and each role alone."""

from __future__ import annotations

from collections.abc import Iterator

from mixdq.configs.quality_table import Score
from mixdq.eval.ablation.report import Ablation, AblationRow
from mixdq.eval.ablation.role_rows import ByRole
from mixdq.eval.report.chart_frontier import Candidate, frontier_chart
from mixdq.eval.report.chart_rows import DotRow, Mark, dots
from mixdq.eval.report.chart_shapes import Chart, series_style
from mixdq.eval.report.found import Document
from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Block, Cell, Figure, Heading, Section, Table
from mixdq.eval.report.words import cells, counted, fixed, mib, significant, span

_METRICS = ("PSNR", "SSIM", "FID", "emoji alignment", "CLIP")
_LIKENESS = ("PSNR", "SSIM", "FID")
_STEPS = ("naive", "bos", "mixed", "mixdq", "noise")
_STEP_WORDS = ("naive", "BOS-aware", "mixed precision", "MixDQ", "by lost noise")


def ablation_section(results: Results) -> Section:
    """A table and charts a document."""
    blocks: list[Block] = []
    documents = results.found.ablations
    for place, document in enumerate(documents, start=1):
        if len(documents) > 1:
            blocks.append(Heading(document.name))
        blocks += _blocks(results, document, f"ablation-{place}")
    return Section(
        "ablation",
        "Ablation",
        tuple(blocks),
        "Naive quantization, then BOS-awareness, mixed precision and decoupling, each on top of the others.",
    )


def _blocks(results: Results, document: Document[Ablation], key: str) -> Iterator[Block]:
    ablation = document.content
    metrics = _metrics(ablation)
    yield _rows(results, document, metrics, key)
    charts = [_by_size(ablation, metric) for metric in metrics[:3] if _is_drawn(ablation, metric)]
    if charts:
        yield Figure(
            "Quality against the size of the packed weights; the dotted line joins the rows that no other "
            "beats. Colours are the steps.",
            tuple(charts),
            tuple((series_style(place), words) for place, words in enumerate(_STEP_WORDS)),
        )
    if compared := [row for row in ablation.rows if row.comparison is not None]:
        yield _paper(compared, key)
    if ablation.by_role is not None:
        yield from _roles(ablation.by_role, key)


def _metrics(ablation: Ablation) -> list[str]:
    names = [score.metric for row in ablation.rows for score in row.quality]
    known = dict.fromkeys(names)
    first = [next((name for name in known if name.startswith(start)), None) for start in _METRICS]
    return [name for name in first if name is not None]


def _score(row: AblationRow, metric: str) -> Score | None:
    return next((score for score in row.quality if score.metric == metric), None)


def _scored(ablation: Ablation, metric: str) -> list[tuple[AblationRow, Score]]:
    """The rows with their scores; full precision's likeness to itself is none."""
    pairs = ((row, _score(row, metric)) for row in ablation.rows)
    return [
        (row, score)
        for row, score in pairs
        if score is not None and not (row is ablation.rows[0] and metric.startswith(_LIKENESS))
    ]


def _is_drawn(ablation: Ablation, metric: str) -> bool:
    """Whether there are two quantized rows to compare."""
    return sum(row is not ablation.rows[0] for row, _ in _scored(ablation, metric)) > 1


def _rows(results: Results, document: Document[Ablation], metrics: list[str], key: str) -> Table:
    ablation, header = document.content, document.content.header
    return Table(
        key=key,
        caption=(
            f"{header.model.name}, {header.resolution} pixels, {counted(header.count, 'prompt')}, against "
            f"full precision; machine {results.origins.letter(document)}. In brackets 95 % intervals."
        ),
        heads=("", "weight bits", "activation bits", "packed MiB", "Gbop", "in FP16", *metrics),
        rows=tuple(
            cells(
                row.label.partition(": the")[0],
                fixed(row.costs.weight_bits, 3),
                fixed(row.costs.activation_bits, 2),
                mib(row.costs.packed_bytes),
                fixed(row.costs.bops / 1e9, 1),
                str(row.costs.protected),
                *(_shown(ablation, row, metric) for metric in metrics),
            )
            for row in ablation.rows
        ),
        note="Not scored here: " + ", ".join(ablation.not_scored) if ablation.not_scored else "",
    )


def _shown(ablation: Ablation, row: AblationRow, metric: str) -> Cell:
    score = next((score for one, score in _scored(ablation, metric) if one is row), None)
    if score is None:
        return Cell("refused" if metric in row.refused else "–", "bad" if metric in row.refused else "soft")
    digits = 1 if abs(score.value) >= 10 else 3
    interval = span(score.low, score.high, digits)
    return Cell(fixed(score.value, digits) + (f" ({interval})" if interval else ""))


def _by_size(ablation: Ablation, metric: str) -> Chart:
    pairs = _scored(ablation, metric)
    better = pairs[0][1].higher_is_better
    # One label a budget, at its last step: the rows of a budget differ in height alone.
    last = {_budget(row): row.name for row, _ in pairs}
    candidates = [
        Candidate(
            row.label,
            row.costs.packed_bytes / (1 << 20),
            score.value,
            _style(row),
            _budget(row).upper() if last[_budget(row)] == row.name else "",
        )
        for row, score in pairs
    ]
    return frontier_chart(metric, candidates, "MiB of packed weights", metric, more_is_better=better)


def _budget(row: AblationRow) -> str:
    return row.name.rpartition("-")[0] or row.name


def _style(row: AblationRow) -> str:
    step = row.name.rpartition("-")[2]
    return series_style(_STEPS.index(step)) if step in _STEPS else series_style(7)


def _paper(rows: list[AblationRow], key: str) -> Table:
    return Table(
        key=f"{key}-paper",
        caption="Each step's FID over that of an earlier row: the paper's on SDXL-Turbo and COCO, and here",
        heads=("row", "over", "paper's FID", "paper's ratio", "ratio here", "same direction", "of"),
        rows=tuple(
            cells(
                row.label,
                row.comparison.against,
                "–" if row.paper_fid is None else f"{row.paper_fid[0]:g} ({row.paper_fid[1]})",
                significant(row.comparison.paper),
                significant(row.comparison.ours),
                Cell("yes" if row.comparison.agrees else "no", "good" if row.comparison.agrees else "bad"),
                row.comparison.metric,
            )
            for row in rows
            if row.comparison is not None
        ),
        words=frozenset({"over", "same direction", "of"}),
    )


def _roles(found: ByRole, key: str) -> Iterator[Block]:
    yield Heading("One role alone")
    by_role = {(row.role, row.bos_aware): row for row in found.rows}
    rows = []
    for role in dict.fromkeys(row.role for row in found.rows):
        pair = [by_role[role, aware] for aware in (False, True) if (role, aware) in by_role]
        marks = [
            Mark(
                row.sqnr_db,
                series_style(0 if row.bos_aware else 1),
                f"{'BOS-aware' if row.bos_aware else 'naive'}: {row.sqnr_db:.1f} dB",
            )
            for row in pair
        ]
        rows.append(DotRow(role, tuple(marks), " → ".join(fixed(row.sqnr_db, 1) for row in pair)))
    yield Figure(
        f"Only one role's layers at W8A8, simulated on {counted(found.prompts, 'prompt')}.",
        (dots("SQNR of the UNet's output", rows, "dB, more is better"),),
        ((series_style(1), "token 0 quantized with the others"), (series_style(0), "BOS-aware")),
    )
    yield Table(
        key=f"{key}-roles",
        caption="One role at W8A8, all other layers in floating point",
        heads=("role", "BOS-aware", "layers", "SQNR dB", "1 − SSIM", "PSNR dB"),
        rows=tuple(
            cells(
                row.role,
                "yes" if row.bos_aware else "no",
                str(row.layers),
                fixed(row.sqnr_db, 1),
                significant(1 - row.ssim, 2),
                fixed(row.psnr_db, 1),
            )
            for row in found.rows
        ),
        words=frozenset({"BOS-aware"}),
        folded=True,
    )
