"""A latency table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from mixdq.configs.latency_table import STAGES, WHOLE, LatencyRow, LatencyTable
from mixdq.eval.speed.kernel_run import LAYERS, QUANTIZE, REST, UNPROFILED

_PARTS = STAGES[:-1]
_LOWEST, _HIGHEST = 0.85, 1.1
_BUSY = ": sums that are apart tell of other work on the machine; measure when it is idle"


def latency_view(table: LatencyTable) -> Table:
    """A line a configuration: its stages' medians, and the whole with its spread."""
    view = Table(
        title="milliseconds of one batch of pictures",
        caption=_caption(table),
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    view.add_column("source", overflow="fold")
    view.add_column("precision", overflow="fold")
    view.add_column("target, device", no_wrap=True)
    for heading in ("pixels", "batch", "steps", *_PARTS, WHOLE, "quartiles", "p95", "processes"):
        view.add_column(heading, justify="right", no_wrap=True)
    view.add_column("clock")
    for stages in _configurations(table):
        whole = stages[WHOLE]
        view.add_row(
            whole.source,
            whole.precision,
            f"{whole.target}, {whole.device}",
            str(whole.resolution),
            str(whole.batch),
            str(whole.steps),
            *(_ms(stages[name].median_us) for name in _PARTS),
            _ms(whole.median_us),
            f"{_ms(whole.lower_quartile_us)} to {_ms(whole.upper_quartile_us)}",
            _ms(whole.p95_us),
            f"{whole.processes}: {_ms(whole.lowest_process_us)} to {_ms(whole.highest_process_us)}",
            _clocks(stages),
        )
    return view


def kernel_lines(table: LatencyTable) -> Iterator[str]:
    """A line for each configuration whose UNet's kernels were measured: how its time divides."""
    for stages in _configurations(table):
        whole = stages[WHOLE]
        rows = [row for row in table.rows if row.run_digest == whole.run_digest and row.kind != "stage"]
        if not rows:
            continue
        layers = [row.median_us for row in rows if row.kind == "layer"]
        medians = sum(row.median_us for row in rows if row.kind in ("layer", "rest"))
        classes = {row.name: row.median_us for row in rows if row.kind == "class"}
        kernels, run = sum(classes[name] for name in (LAYERS, QUANTIZE, REST)), classes[UNPROFILED]
        quiet = all(_LOWEST <= ratio <= _HIGHEST for ratio in (kernels / run, medians / kernels))
        yield (
            f"{whole.source} at {whole.resolution} pixels: the UNet's kernels take {_ms(kernels)} ms, "
            f"{100 * kernels / run:.0f} % of the {_ms(run)} ms of a run without the profiler: layers' own "
            f"{_ms(classes[LAYERS])}, quantize/dequantize {_ms(classes[QUANTIZE])}, rest "
            f"{_ms(classes[REST])} ms. The medians of the {len(layers)} layers sum to {_ms(sum(layers))} ms, "
            f"with those of the rest {_ms(medians)} ms{'' if quiet else _BUSY}"
        )


def _configurations(table: LatencyTable) -> list[dict[str, LatencyRow]]:
    found: dict[tuple[object, ...], dict[str, LatencyRow]] = {}
    for row in table.rows:
        if row.kind == "stage":
            found.setdefault(row.identity[2:], {})[row.name] = row
    return [stages for stages in found.values() if set(stages) == set(STAGES)]


def _clocks(stages: dict[str, LatencyRow]) -> str:
    kinds: Sequence[str] = list(dict.fromkeys(stages[name].clock for name in STAGES))
    if len(kinds) == 1:
        return kinds[0]
    wall = ", ".join(name for name in STAGES if stages[name].clock == "wall")
    return f"{next(kind for kind in kinds if kind != 'wall')}; {wall}: wall"


def _caption(table: LatencyTable) -> str:
    runs = sorted({row.runs for row in table.rows if row.kind == "stage"})
    rates = sorted({row.sm_mhz for row in table.rows if row.sm_mhz is not None})
    clock = f", its multiprocessors at {' or '.join(map(str, rates))} MHz" if rates else ""
    packages = ", ".join(f"{name} {text}" for name, text in table.versions.items())
    return (
        f"Medians of {' or '.join(map(str, runs))} pictures. processes: fresh processes of a configuration "
        "that they were drawn in, lowest and highest of their medians. "
        f"{', '.join(table.machine.values())}{clock}. {packages}"
    )


def _ms(microseconds: float) -> str:
    return f"{microseconds / 1e3:.1f}"
