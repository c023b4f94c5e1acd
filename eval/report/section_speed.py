"""How long pictures take and how much memory: one table a machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Protocol

from mixdq.configs.latency_table import WHOLE, LatencyRow, LatencyTable
from mixdq.configs.memory_table import MemoryRow, MemoryTable
from mixdq.eval.report.batches import Batch, batches
from mixdq.eval.report.chart_rows import BarRow, Part, bars
from mixdq.eval.report.chart_shapes import Chart
from mixdq.eval.report.found import Document
from mixdq.eval.report.naming import short_names
from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Block, Figure, Section, Table
from mixdq.eval.report.words import cells, fixed, span

_PARTS = {"text": "s2", "unet": "s0", "vae": "s4", "encode": "s3"}
_TITLES = {"text": "text encoders", "unet": "UNet", "vae": "VAE decoder", "encode": "PNG"}


class Placed(Protocol):
    """What runs on a back end."""

    @property
    def target(self) -> str:
        """The back end: `cpu`, `rtx:sm89`."""

    @property
    def device(self) -> str:
        """Where it computes: `cpu` or `cuda`."""


_Place = tuple[int, int, int]
"""Resolution, batch and steps."""


def latency_section(results: Results) -> Section:
    """Times of whole pictures and their stages."""
    blocks: list[Block] = []
    for batch in batches(results, measured_latencies(results)):
        blocks += [*batch.above, *_latency(batch)]
    return Section("latency", "Latency", tuple(blocks))


def memory_section(results: Results) -> Section:
    """Peaks of processes, and weights on disk."""
    blocks: list[Block] = []
    for batch in batches(results, results.found.memories):
        blocks += [*batch.above, *_memory(results, batch)]
    return Section("memory", "Memory", tuple(blocks))


def measured_latencies(results: Results) -> list[Document[LatencyTable]]:
    """The tables of times, less those that a replay calibrated itself by: a server has its own threads."""
    replays = {document.path.parent for document in results.found.replays}
    return [document for document in results.found.latencies if document.path.parent not in replays]


def subject_names(rows: Sequence[LatencyRow | MemoryRow]) -> Mapping[object, str]:
    """What each row's configuration is called: what of folder, precisions and place tells it from others."""
    folders = short_names(row.source for row in rows)
    precisions: dict[str, set[str]] = {}
    places: dict[str, set[str]] = {}
    for row in rows:
        precisions.setdefault(row.source, set()).add(row.precision)
        places.setdefault(row.source, set()).add(f"{row.target} {row.device}")
    briefly = {source: _without_beginning(words) for source, words in precisions.items()}
    names: dict[object, str] = {}
    for row in rows:
        parts = [briefly[row.source][row.precision]] if len(precisions[row.source]) > 1 else []
        parts += [place_of(row)] if len(places[row.source]) > 1 else []
        is_telling = len(folders) > 1 or not parts
        names[row] = " ".join([*([folders[row.source]] if is_telling else []), *parts])
    return names


def _without_beginning(precisions: Iterable[str]) -> Mapping[str, str]:
    """Of `float16, CUDA graph` and `float16, compiled, CUDA graph` what follows their common beginning."""
    parts = {words: words.split(", ") for words in precisions}
    most = min(len(each) for each in parts.values()) - 1
    firsts = [each[:most] for each in parts.values()]
    shared = takewhile(lambda column: len(set(column)) == 1, zip(*firsts, strict=True))
    same = len(list(shared))
    return {words: ", ".join(each[same:]) for words, each in parts.items()}


def place_of(row: Placed) -> str:
    """Where it runs: `cpu`, `cuda:sm90`, `rtx:sm89 cuda`."""
    return row.target if row.device in row.target else f"{row.target} {row.device}"


def _latency(batch: Batch[LatencyTable]) -> Iterator[Block]:
    table = LatencyTable.merge(batch.tables)
    stages = [row for row in table.rows if row.kind == "stage"]
    names = subject_names(stages)
    wholes = [row for row in stages if row.name == WHOLE]
    places = sorted({(row.resolution, row.batch, row.steps) for row in wholes})
    if wholes:
        yield Figure(
            "Median milliseconds of a picture (of a batch where there are several), in stages. The thin line "
            "goes from the lowest to the highest median of the processes: what two bars are apart by less "
            "says nothing.",
            tuple(_chart(stages, names, place) for place in places),
            tuple((style, _TITLES[name]) for name, style in _PARTS.items()),
        )
    yield _latency_table(stages, wholes, names, batch)
    yield from _classes(table, batch)


def _chart(stages: Sequence[LatencyRow], names: Mapping[object, str], place: _Place) -> Chart:
    here = [row for row in stages if (row.resolution, row.batch, row.steps) == place]
    rows = []
    for whole in (row for row in here if row.name == WHOLE):
        parts = {row.name: row for row in here if names[row] == names[whole]}
        stages_of = tuple(
            _part(parts[name], _TITLES[name], style) for name, style in _PARTS.items() if name in parts
        )
        rows.append(
            BarRow(
                names[whole],
                stages_of or (_part(whole, "picture", "s7"),),
                fixed(whole.median_us / 1e3, 1),
                whole.lowest_process_us / 1e3 if whole.processes > 1 else None,
                whole.highest_process_us / 1e3 if whole.processes > 1 else None,
            )
        )
    return bars(_title(place), rows, "ms", "; ".join(f"{row.name} {row.figure} ms" for row in rows))


def _part(row: LatencyRow, words: str, style: str) -> Part:
    return Part(row.median_us / 1e3, style, f"{words}: {fixed(row.median_us / 1e3, 1)} ms")


def _title(place: _Place) -> str:
    resolution, batch, steps = place
    more = [f"batch {batch}"] if batch > 1 else []
    more += [f"{steps} steps"] if steps > 1 else []
    return ", ".join([f"{resolution} pixels", *more])


def _latency_table(
    stages: Sequence[LatencyRow],
    wholes: Sequence[LatencyRow],
    names: Mapping[object, str],
    batch: Batch[LatencyTable],
) -> Table:
    rows = []
    for whole in sorted(wholes, key=lambda row: (row.resolution, row.batch, row.steps)):
        key = (names[whole], whole.resolution, whole.batch, whole.steps)
        own = {row.name: row for row in stages if (names[row], row.resolution, row.batch, row.steps) == key}
        medians = [fixed(own[name].median_us / 1e3, 1) if name in own else "–" for name in _PARTS]
        rows.append(
            cells(
                names[whole],
                whole.precision,
                str(whole.resolution),
                str(whole.batch),
                *medians,
                fixed(whole.median_us / 1e3, 1),
                fixed(whole.p95_us / 1e3, 1),
                _processes(whole),
                str(whole.runs),
            )
        )
    return Table(
        key=f"latency-{batch.key}",
        caption=f"Milliseconds on machine {batch.machine}: medians, and the 95th percentile of the whole",
        heads=(
            *("configuration", "plan", "pixels", "batch", *_TITLES.values()),
            *("picture", "p95", "processes", "runs"),
        ),
        rows=tuple(rows),
        words=frozenset({"plan"}),
    )


def _processes(row: LatencyRow) -> str:
    apart = span(row.lowest_process_us / 1e3, row.highest_process_us / 1e3, 1)
    return f"{row.processes}: {apart}" if row.processes > 1 else "1"


def _classes(table: LatencyTable, batch: Batch[LatencyTable]) -> Iterator[Table]:
    rows = [row for row in table.rows if row.kind == "class"]
    if rows:
        names = short_names(row.source for row in rows)
        yield Table(
            key=f"latency-classes-{batch.key}",
            caption=f"Kernels of the UNet by class, milliseconds on machine {batch.machine}",
            heads=("configuration", "class", "pixels", "ms"),
            rows=tuple(
                cells(names[row.source], row.name, str(row.resolution), fixed(row.median_us / 1e3, 2))
                for row in rows
            ),
            words=frozenset({"class"}),
        )


def _memory(results: Results, batch: Batch[MemoryTable]) -> Iterator[Block]:
    table = MemoryTable.merge(batch.tables)
    names = subject_names(table.rows)
    places = sorted({(row.resolution, row.batch, row.steps) for row in table.rows})
    charts = []
    for place in places:
        here = [row for row in table.rows if (row.resolution, row.batch, row.steps) == place]
        rows = [
            BarRow(
                names[row],
                (Part(row.peak_mib, results.colours.of(row.plan_digest), row.precision),),
                fixed(row.peak_mib, 0),
            )
            for row in here
        ]
        charts.append(
            bars(_title(place), rows, "MiB", "; ".join(f"{row.name} {row.figure} MiB" for row in rows))
        )
    if charts:
        yield Figure(
            "Peak memory of a fresh process: on a GPU the driver's view of it, on a CPU its resident memory "
            "without that of its imports.",
            tuple(charts),
        )
    yield Table(
        key=f"memory-{batch.key}",
        caption=f"MiB on machine {batch.machine}",
        heads=(
            *("configuration", "plan", "pixels", "batch", "weights on disk", "peak", "process, imports"),
            *("process, peak", "GPU allocated", "GPU process"),
        ),
        rows=tuple(
            cells(
                names[row],
                row.precision,
                str(row.resolution),
                str(row.batch),
                *(
                    fixed(value, 1)
                    for value in (
                        row.weights_mib,
                        row.peak_mib,
                        row.host_baseline_mib,
                        row.host_peak_mib,
                        row.allocator_allocated_mib,
                        row.gpu_process_mib,
                    )
                ),
            )
            for row in sorted(table.rows, key=lambda row: (row.resolution, row.batch, row.steps))
        ),
        words=frozenset({"plan"}),
    )
