"""The UNet and its kernels on a GPU."""

from __future__ import annotations

from collections.abc import Iterator

from mixdq.eval.report.chart_rows import BarRow, Part, bars
from mixdq.eval.report.chart_shapes import Chart
from mixdq.eval.report.found import Document
from mixdq.eval.report.gpu_files import GpuTrial, KernelBenchmark, UnetTime
from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Block, Cell, Figure, Heading, Prose, Section, Table
from mixdq.eval.report.words import cells, fixed, span

_WAYS = {
    "eager": "PyTorch FP16",
    "graph": "FP16, CUDA graph",
    "compiled": "FP16, torch.compile",
    "fp16": "this project, FP16",
    "w8a8": "this project, W8A8",
    "w8a8-before": "W8A8 before",
    "w4a16": "this project, W4A16",
    "w8a8-half": "W8A8 writing FP16",
    "torchao": "torchao, FP8",
}
_KINDS = {
    "attention": "s3",
    "half product": "s7",
    "library's layers": "s7",
    "quantized product": "s0",
    "INT8 layers": "s0",
    "protected layers": "s2",
    "weight-only layers": "s5",
    "normalization": "s1",
    "rest": "s4",
}
"""Colours of the kinds of kernels, by their names in earlier and in present trials."""


def gpu_section(results: Results) -> Section:
    """Each trial, and each benchmark of kernels, by itself."""
    blocks: list[Block] = []
    for place, trial in enumerate(results.found.gpu_trials, start=1):
        blocks += [
            Heading(f"The UNet, machine {results.origins.letter(trial)}"),
            *_trial(trial, f"gpu-{place}"),
        ]
    for place, kernels in enumerate(results.found.kernels, start=1):
        title = f"Kernels, {kernels.content.gpu}, batch {kernels.content.batch}: {kernels.name}"
        blocks += [Heading(title), *_kernels(kernels, f"kernels-{place}")]
    return Section("gpu", "On a GPU", tuple(blocks))


def _trial(document: Document[GpuTrial], key: str) -> Iterator[Block]:
    trial = document.content
    places = sorted({(time.resolution, time.batch) for time in trial.times})
    if places:
        yield Figure(
            "Median milliseconds of one call of the UNet at its full size, made-up weights; the thin line "
            "joins the quartiles. Runs are starts of the machine, each a trial of its own.",
            tuple(_times(trial, place) for place in places),
        )
    for reason in trial.missing:
        yield Prose(f"Not timed: {reason}", "bad")
    if trial.kinds:
        yield Figure(
            "The same calls by kind of kernel, milliseconds of the profiler.",
            tuple(
                _kinds(trial, place)
                for place in sorted({(kind.resolution, kind.batch) for kind in trial.kinds})
            ),
            tuple((style, name) for name, style in _KINDS.items() if name in _kinds_of(trial)),
        )
    yield Table(
        key=key,
        caption=f"Every way, {document.name}",
        heads=("way", "run", "pixels", "batch", "ms", "quartiles", "runs", "MiB allocated", "SQNR dB"),
        rows=tuple(
            cells(
                _WAYS.get(time.way, time.way),
                time.run or "–",
                str(time.resolution),
                str(time.batch),
                fixed(time.ms, 2),
                span(time.ms_q1, time.ms_q3, 2),
                str(time.runs),
                fixed(time.allocated_mib, 0),
                fixed(time.db, 1),
            )
            for time in trial.times
        ),
        words=frozenset({"run"}),
        note="SQNR of the output against FP16 in PyTorch; made-up weights say little about quality.",
    )


def _name(trial: GpuTrial, way: str, run: str) -> str:
    runs = {time.run for time in trial.times}
    return f"{_WAYS.get(way, way)} (run {run})" if len(runs) > 1 else _WAYS.get(way, way)


def _kinds_of(trial: GpuTrial) -> set[str]:
    return {kind.kernels for kind in trial.kinds}


def _title(place: tuple[int, int]) -> str:
    resolution, batch = place
    return f"{resolution} pixels" + (f", batch {batch}" if batch > 1 else "")


def _times(trial: GpuTrial, place: tuple[int, int]) -> Chart:
    own = [time for time in trial.times if (time.resolution, time.batch) == place]
    own.sort(key=lambda time: time.ms)
    rows = [
        BarRow(
            _name(trial, time.way, time.run),
            (Part(time.ms, _style(time), f"{time.ms:.2f} ms"),),
            fixed(time.ms, 2),
            time.ms_q1,
            time.ms_q3,
        )
        for time in own
    ]
    return bars(_title(place), rows, "ms", "; ".join(f"{row.name} {row.figure} ms" for row in rows))


def _style(time: UnetTime) -> str:
    return "s0" if time.way.startswith("w") else "s7"


def _kinds(trial: GpuTrial, place: tuple[int, int]) -> Chart:
    own = [kind for kind in trial.kinds if (kind.resolution, kind.batch) == place]
    rows = []
    for run, way in dict.fromkeys((kind.run, kind.way) for kind in own):
        parts = {kind.kernels: kind for kind in own if (kind.run, kind.way) == (run, way)}
        rows.append(
            BarRow(
                _name(trial, way, run),
                tuple(
                    Part(parts[name].us / 1e3, style, f"{name}: {parts[name].us / 1e3:.2f} ms")
                    for name, style in _KINDS.items()
                    if name in parts
                ),
                fixed(sum(kind.us for kind in parts.values()) / 1e3, 1),
            )
        )
    return bars(_title(place), rows, "ms of kernels")


def _kernels(document: Document[KernelBenchmark], key: str) -> Iterator[Block]:
    found = document.content
    totals: dict[tuple[str, int], list[float]] = {}
    for row in found.rows:
        own = totals.setdefault((row.operator, row.resolution), [0.0, 0.0])
        own[0] += row.count * row.kernel.median
        own[1] += row.count * row.half.median
    yield Table(
        key=f"{key}-sums",
        caption=(
            f"Sums over one call of the UNet, milliseconds: this project's kernels beside FP16's; torch "
            f"{found.torch}, Triton {found.triton}"
        ),
        heads=("operator", "pixels", "this project", "FP16", "faster"),
        rows=tuple(
            cells(operator, str(resolution), fixed(ours / 1e3, 2), fixed(half / 1e3, 2), _ratio(half, ours))
            for (operator, resolution), (ours, half) in totals.items()
        ),
    )
    yield Table(
        key=key,
        caption="Kernels one by one, microseconds of a launch (median, and the range of the medians)",
        heads=("operator", "work", "pixels", "calls", "this project", "range", "FP16", "faster"),
        rows=tuple(
            cells(
                row.operator,
                row.work,
                str(row.resolution),
                str(row.count),
                fixed(row.kernel.median, 1),
                span(row.kernel.least, row.kernel.greatest, 1),
                fixed(row.half.median, 1),
                _ratio(row.half.median, row.kernel.median),
            )
            for row in found.rows
        ),
        words=frozenset({"work"}),
        folded=True,
    )


def _ratio(half: float, ours: float) -> Cell:
    ratio = half / ours
    return Cell(f"{fixed(ratio, 2)} ×", "bad" if ratio < 1 else "")
