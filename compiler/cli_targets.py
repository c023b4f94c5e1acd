"""The commands of `mixdq-compile` about what targets run: `targets`, and `legalize` for a plan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType

from mixdq.compiler.progress import terminal_watch
from mixdq.configs.capability import (
    BackendTable,
    Capability,
    capabilities_of,
    find_capability,
    shipped_capabilities,
)
from mixdq.configs.console import stdout_console
from mixdq.configs.errors import TargetError
from mixdq.configs.latency_table import LatencyTable
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan

if TYPE_CHECKING:
    from mixdq.compiler.allocate.layer_times import LayerTimes
    from mixdq.compiler.legal.choices import Rules
    from mixdq.compiler.legal.probe import Finding
    from mixdq.compiler.legal.probe_graphs import ProbeLayer

legality = typer.Typer()

EXIT_DIFFERENCES = 1
"""Exit code of a probe whose builder says something else than the shipped table."""

_Unwritten = Annotated[
    bool,
    typer.Option(
        "--unwritten",
        help="Choose also among forms that the target takes and mixdq can't write yet: not to be compiled.",
    ),
]
_Block = Annotated[
    int | None,
    typer.Option(
        "--block",
        help="32, 64 or 128: inputs that share a scale of a four-bit weight. (default: a scale a channel)",
    ),
]


@legality.command()
def targets(
    target: Annotated[
        str | None,
        typer.Argument(help="A back end (rtx) or a target (rtx:sm89). (default: all)", show_default=False),
    ] = None,
    ask: Annotated[
        bool,
        typer.Option("--probe", help="Build a tiny graph for every entry with the builders that are here."),
    ] = False,
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers",
            help="A layers.json, a folder that holds one, or a model: --probe tries one layer of each of its "
            "shapes in all legal forms instead. (default: three tiny ones in all forms)",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print records instead of tables.")] = False,
) -> None:
    """Show which forms of layers each target runs; --probe asks the builders: exit code 1 if they differ."""
    from mixdq.compiler.legal import target_words as words

    tables, one = _named(target)
    if layers is not None and not ask:
        raise TargetError("--layers says what to build for --probe; give both, or leave --layers out")
    if ask:
        findings, skipped = _probe(tables, one, layers)
        if as_json:
            print(json.dumps(words.probe_records(findings), indent=1))
        else:
            _print(words.probe_in_words(findings, skipped))
        if any(finding.differs for finding in findings):
            raise typer.Exit(EXIT_DIFFERENCES)
        return
    chosen = [one] if one else [each for table in tables for each in capabilities_of(table)]
    if as_json:
        print(json.dumps(words.records(chosen), indent=1))
        return
    _print(words.one_in_words(one) if one else (part for table in tables for part in words.in_words(table)))


@legality.command()
def legalize(
    plan: Annotated[Path, typer.Argument(help="A plan.yaml: the wish.", show_default=False)],
    layers: Annotated[
        str,
        typer.Option(
            "--layers", help="A layers.json, a folder that holds one, or a model.", show_default=False
        ),
    ],
    target: Annotated[
        str, typer.Option("--target", help="rtx:sm89, tensorrt:sm90, cpu.", show_default=False)
    ],
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a plan that does not run as it stands.")
    ] = False,
    block: _Block = None,
    unwritten: _Unwritten = False,
    latency: Annotated[
        Path | None,
        typer.Option("--latency", help="Of equal bytes take the fastest by these times."),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option("--resolution", help="Pixels to count at. (default: the layer table's smallest)"),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The legal plan.yaml to write.")] = None,
) -> None:
    """Turn a plan into the cheapest that a target runs with at least its bits; says what changed and why."""
    from mixdq.compiler.layers_of import layers_of, smallest_resolution
    from mixdq.compiler.legal.choices import Rules
    from mixdq.compiler.legal.legalize import legalize as make_legal
    from mixdq.compiler.legal.words import in_words

    rules = Rules(find_capability(target), block, unwritten)
    asked, table = PrecisionPlan.read(plan), layers_of(layers)
    pixels = smallest_resolution(table) if resolution is None else resolution
    times = _times(latency, table, rules, pixels)
    made = make_legal(asked, table, rules, strict=strict, times=times)
    _print(in_words(asked, made, table, rules, pixels))
    if out is not None:
        made.plan.write(out)
        print(f"written: {out}")


def _named(target: str | None) -> tuple[tuple[BackendTable, ...], Capability | None]:
    """The tables of a back end, of a target or of all; and the target, if one was named."""
    tables = shipped_capabilities()
    if target is None:
        return tables, None
    if own := tuple(table for table in tables if table.backend == target):
        return own, None
    one = find_capability(target)
    return (one.table,), one


def _probe(
    tables: tuple[BackendTable, ...], one: Capability | None, model: str | None
) -> tuple[list[Finding], dict[str, str]]:
    """What the builders say, and why others could not be asked; of a single back end that is an error."""
    from mixdq.compiler.layers_of import layers_of, smallest_resolution
    from mixdq.compiler.legal.probe import probe, probeable
    from mixdq.compiler.legal.probe_graphs import TINY_LAYERS, distinct_layers

    layers: Sequence[ProbeLayer] = TINY_LAYERS
    if model is not None:
        of_model = layers_of(model)
        layers = distinct_layers(of_model, smallest_resolution(of_model))
    findings: list[Finding] = []
    skipped: dict[str, str] = {}
    with terminal_watch(Console(stderr=True)) as watch:
        for table in tables:
            try:
                capabilities = probeable(table, one.sm if one else None)
            except TargetError as error:
                if len(tables) == 1:
                    raise
                skipped[table.backend] = str(error)
            else:
                report = watch.step(f"asking {table.product}")
                findings += probe(capabilities, layers, report, refused=model is None)
    return findings, skipped


def _times(latency: Path | None, table: LayerTable, rules: Rules, resolution: int) -> LayerTimes | None:
    from mixdq.compiler.allocate.layer_times import LayerTimes

    if latency is None:
        return None
    target = rules.times_target
    return LayerTimes.of(LatencyTable.read(latency), table, target=target, resolution=resolution)


def _print(parts: Iterable[RenderableType]) -> None:
    console = stdout_console()
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str), highlight=False)
