"""What the plan gives every layer, in the order of the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.plot_style import INK, ROLE_COLOURS, new_figure, styled
from mixdq.compiler.explain.ranking import shown_bits
from mixdq.configs.layers import LayerSpec, Role
from mixdq.configs.sensitivity import Operand

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEVEL_IN, _REST_IN = 0.42, 2.0
_LANE = 0.15
_NEAR = 0.09
"""Names of blocks whose middles are nearer than this share of the width take turns in two lines."""
_STAGES = ("conv_in", "time_embedding", "add_embedding", "down_blocks", "mid_block", "up_blocks", "conv_out")


def bits_figure(case: Case) -> Figure:
    """A mark a layer: its place from left to right, its bits as a level, its role as a colour and a lane."""
    levels = {operand: _levels(case, operand) for operand in Operand}
    heights = [len(levels[operand]) for operand in Operand]
    layers = network_order(case.table)
    with styled():
        title = f"Bits of {case.table.model.name}'s {len(layers)} layers"
        figure = new_figure(_LEVEL_IN * sum(heights) + _REST_IN, title)
        panels = figure.subplots(2, 1, sharex=True, height_ratios=heights)
        for axes, operand in zip(panels, Operand, strict=True):
            _draw(axes, case, layers, operand, levels[operand])
        _name_blocks(panels[-1], layers)
        panels[0].tick_params(axis="x", which="both", length=0)
        handles, labels = panels[0].get_legend_handles_labels()
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=len(handles), markerscale=1.6
        )
        for handle in legend.get_lines():
            handle.set_markeredgewidth(4)
        figure.align_ylabels()
        return figure


def network_order(layers: Iterable[LayerSpec]) -> list[LayerSpec]:
    """The layers as a picture meets them; in a table the middle block comes after the up-blocks."""
    stages = {stage: place for place, stage in enumerate(_STAGES)}
    return sorted(layers, key=lambda layer: stages.get(layer.name.split(".")[0], len(stages)))


def _levels(case: Case, operand: Operand) -> list[int]:
    return sorted({case.bits(operand, layer.name) for layer in case.table})


def _draw(
    axes: Axes, case: Case, layers: Sequence[LayerSpec], operand: Operand, levels: Sequence[int]
) -> None:
    for lane, role in enumerate(Role):
        own = [(place, layer) for place, layer in enumerate(layers) if layer.role is role]
        if own:
            axes.plot(
                [place for place, _ in own],
                [levels.index(case.bits(operand, layer.name)) + (2 - lane) * _LANE for _, layer in own],
                linestyle="none",
                marker="|",
                markersize=4.5,
                markeredgewidth=1.1,
                color=ROLE_COLOURS[role],
                label=role.value,
            )
    for edge in range(1, len(levels)):
        axes.axhline(edge - 0.5, color="#D8D8D8", linewidth=0.8)
    counts = Counter(case.bits(operand, layer.name) for layer in layers)
    axes.set_yticks(range(len(levels)), [f"{shown_bits(bits)}  ({counts[bits]})" for bits in levels])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.5, len(levels) - 0.5)
    axes.set_xlim(-1, len(layers))
    axes.grid(visible=False, axis="y")
    axes.set_ylabel("bits (layers)")
    axes.set_title(f"{operand}s")


def _name_blocks(axes: Axes, layers: Sequence[LayerSpec]) -> None:
    """Ticks where the network's blocks begin, their names between them."""
    edges: list[float] = []
    middles: list[float] = []
    names: list[str] = []
    start, lowered = 0, False
    for block, members in groupby(layers, key=_block):
        count = len(list(members))
        edges.append(start - 0.5)
        if block:
            middle = start + count / 2 - 0.5
            lowered = bool(middles) and middle - middles[-1] < _NEAR * len(layers) and not lowered
            middles.append(middle)
            names.append(f"\n{block}" if lowered else block)
        start += count
    axes.set_xticks(edges)
    axes.tick_params(axis="x", labelbottom=False, length=4)
    axes.set_xticks(middles, names, minor=True)
    axes.tick_params(axis="x", which="minor", length=0, pad=5, labelbottom=True, labelcolor=INK)
    axes.set_xlabel("layers in the order of the network")


def _block(layer: LayerSpec) -> str:
    """`down 1`, `mid`; empty for the few layers before and after the blocks."""
    first, second, *_ = [*layer.name.split("."), ""]
    if first == "mid_block":
        return "mid"
    return f"{first.removesuffix('_blocks')} {second}" if first.endswith("_blocks") else ""
