"""The layer table as tables for people: every layer, and totals by kind and group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from rich.console import RenderableType
from rich.table import Table

from mixdq.configs.layers import LayerSpec, LayerTable


def layer_tables(table: LayerTable) -> Iterator[RenderableType]:
    """All layers one by one, then the totals by kind, by role and by group, and in one line."""
    yield _every_layer(table)
    yield layer_totals(table)
    yield in_words(table)


def in_words(table: LayerTable) -> str:
    """`264 layers: 231 linear, 33 convolution; 140 content, 124 quality; 13,112,640 weights`."""
    kinds = Counter(layer.kind.value for layer in table)
    groups = Counter(layer.group.value for layer in table)
    parts = [", ".join(f"{count} {name}" for name, count in sorted(c.items())) for c in (kinds, groups)]
    return f"{len(table)} layers: {'; '.join(parts)}; {sum(layer.weights for layer in table):,} weights"


def layer_totals(table: LayerTable) -> Table:
    """Number of layers, weights and MACs by kind, by role and by group, and of all."""
    resolutions = _resolutions(table)
    view = Table("", "layers", "weights", "share", *(f"GMAC {r}" for r in resolutions), title="totals")
    for column in view.columns[1:]:
        column.justify = "right"
    parts: tuple[Callable[[LayerSpec], str], ...] = (
        lambda layer: layer.kind.value,
        lambda layer: layer.role.value,
        lambda layer: layer.group.value,
    )
    for part in parts:
        for name in dict.fromkeys(part(layer) for layer in table):
            chosen = [layer for layer in table if part(layer) == name]
            view.add_row(name, *_total(chosen, table, resolutions))
        view.add_section()
    view.add_row("all", *_total(list(table), table, resolutions))
    return view


def _every_layer(table: LayerTable) -> Table:
    resolutions = _resolutions(table)
    view = Table(title=f"{table.model.name}: {len(table)} quantizable layers")
    view.add_column("name", overflow="fold")
    for heading in ("kind", "role", "group", "shape"):
        view.add_column(heading)
    for heading in ("parameters", *(f"MMAC {r}" for r in resolutions)):
        view.add_column(heading, justify="right")
    for layer in table:
        shape = " x ".join(map(str, layer.weight_shape))
        split = "" if layer.split is None else f" ({layer.split} + {layer.weight_shape[1] - layer.split})"
        parameters = layer.weights + (layer.weight_shape[0] if layer.has_bias else 0)
        macs = [f"{layer.macs[r] / 1e6:.2f}" for r in resolutions]
        view.add_row(layer.name, layer.kind, layer.role, layer.group, shape + split, f"{parameters:,}", *macs)
    return view


def _resolutions(table: LayerTable) -> list[int]:
    return sorted({resolution for layer in table for resolution in layer.macs})


def _total(layers: list[LayerSpec], table: LayerTable, resolutions: Iterable[int]) -> list[str]:
    weights, everything = sum(layer.weights for layer in layers), sum(layer.weights for layer in table)
    macs = [f"{sum(layer.macs[r] for layer in layers) / 1e9:.3f}" for r in resolutions]
    return [str(len(layers)), f"{weights:,}", f"{weights / everything:.1%}", *macs]
