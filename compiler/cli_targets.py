"""The commands of `mixdq-compile` about what targets run: `targets`, and `legalize` for a plan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

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
    from mixdq.compiler.legal.probe_together import Together
    from mixdq.compiler.worker import Report

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
    together: Annotated[
        bool,
        typer.Option(
            "--together",
            help="--probe builds one graph of all legal forms of all these layers for each target, and says "
            "how large its engine is and what that took. (default: a graph for each form)",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print records instead of tables.")] = False,
) -> None:
    """Show which forms of layers each target runs; --probe asks the builders: exit code 1 if they differ."""
    tables, one = _named(target)
    if not ask and (layers is not None or together):
        option = "--layers" if layers is not None else "--together"
        raise TargetError(f"{option} says what to build for --probe; give both, or leave {option} out")
    if together:
        _probe_together(tables, one, layers, as_json)
        return
    if ask:
        _probe(tables, one, layers, as_json)
        return
    _show(tables, one, as_json)


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


def _show(tables: tuple[BackendTable, ...], one: Capability | None, as_json: bool) -> None:
    from mixdq.compiler.legal import target_words as words

    chosen = [one] if one else [each for table in tables for each in capabilities_of(table)]
    if as_json:
        print(json.dumps(words.records(chosen), indent=1))
        return
    _print(words.one_in_words(one) if one else (part for table in tables for part in words.in_words(table)))


def _probe(
    tables: tuple[BackendTable, ...], one: Capability | None, model: str | None, as_json: bool
) -> None:
    """Prints what the builders say of each form.

    Raises:
        Exit: something else than the shipped table.
    """
    from mixdq.compiler.legal import target_words as words
    from mixdq.compiler.legal.ask_builders import ask_builders, layers_to_try
    from mixdq.compiler.legal.probe import probe

    layers = layers_to_try(model)

    def ask(capabilities: Sequence[Capability], report: Report) -> Iterable[Finding]:
        return probe(capabilities, layers, report, refused=model is None)

    findings, skipped = ask_builders(tables, one.sm if one else None, ask)
    if as_json:
        print(json.dumps(words.probe_records(findings), indent=1))
    else:
        _print(words.probe_in_words(findings, skipped))
    if any(finding.differs for finding in findings):
        raise typer.Exit(EXIT_DIFFERENCES)


def _probe_together(
    tables: tuple[BackendTable, ...], one: Capability | None, model: str | None, as_json: bool
) -> None:
    """Prints what the builders say of one graph of all legal forms.

    Raises:
        Exit: that it can't be built.
    """
    from mixdq.compiler.legal import target_words as words
    from mixdq.compiler.legal.ask_builders import ask_builders, layers_to_try
    from mixdq.compiler.legal.probe_together import probe_together

    layers = layers_to_try(model)

    def ask(capabilities: Sequence[Capability], report: Report) -> Iterable[Together]:
        return (probe_together(capability, layers, report) for capability in capabilities)

    found, skipped = ask_builders(tables, one.sm if one else None, ask)
    if as_json:
        print(json.dumps(words.together_records(found), indent=1))
    else:
        _print(words.together_in_words(found, skipped))
    if not all(one.taken for one in found):
        raise typer.Exit(EXIT_DIFFERENCES)


def _times(latency: Path | None, table: LayerTable, rules: Rules, resolution: int) -> LayerTimes | None:
    from mixdq.compiler.allocate.layer_times import LayerTimes

    if latency is None:
        return None
    target = rules.times_target
    return LayerTimes.of(LatencyTable.read(latency), table, target=target, resolution=resolution)


def _print(parts: Iterable[RenderableType]) -> None:
    console = stdout_console()
    for part in parts:
        # Words may name an extra, mixdq[rtx], which is no markup.
        console.print(part, soft_wrap=isinstance(part, str), highlight=False)
