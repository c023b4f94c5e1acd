"""The long tail: each group's scores from the most sensitive layer on, at every width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixdq.compiler.explain.plot_style import GREY, INK, WIDTH_COLOURS, new_figure, styled
from mixdq.compiler.explain.ranking import RankedLayer, Ranking
from mixdq.compiler.explain.scores import is_likeness, shown_label, shown_value
from mixdq.configs.layers import LayerName
from mixdq.configs.precision import FLOAT_BITS
from mixdq.configs.sensitivity import Operand

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW_IN, _REST_IN = 2.75, 0.75
# A name is as high as some 6 dB, or a third of a decade, of a panel's usual 80 dB and four decades.
_ROOM_DB, _DB_PER_DECADE = 7.0, 20.0


def tails_figure(rankings: Sequence[Ranking], model: str) -> Figure:
    """A panel for each operand and group; likenesses as their distance from 1 on a logarithmic axis."""
    with styled():
        rows, columns = -(-len(rankings) // 2), min(2, len(rankings))
        title = f"Sensitivity of {model}'s layers, each quantized alone"
        figure = new_figure(_ROW_IN * rows + _REST_IN, title)
        panels = figure.subplots(rows, columns, squeeze=False)
        entries: dict[str, Artist] = {}
        for axes, ranking in zip(panels.flat, rankings, strict=False):
            _draw(axes, ranking)
            handles, labels = axes.get_legend_handles_labels()
            entries |= dict(zip(labels, handles, strict=True))
        for axes in panels.flat[len(rankings) :]:
            axes.set_visible(False)
        figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=len(entries))
        return figure


def _draw(axes: Axes, ranking: Ranking) -> None:
    for index, bits in enumerate(ranking.widths):
        layers = sorted(ranking.layers, key=lambda layer, index=index: layer.ranks[index])  # type: ignore[misc]
        shown = [shown_value(layer.scores[index], ranking.metric) for layer in layers]
        colour = WIDTH_COLOURS[index]
        axes.plot(range(1, len(shown) + 1), shown, color=colour, linewidth=1.5, label=f"{bits} bits")
    _name_first(axes, ranking)
    _ring_protected(axes, ranking)
    axes.set_xscale("log")
    if is_likeness(ranking.metric):
        axes.set_yscale("log")
        axes.invert_yaxis()
    axes.margins(y=0.12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_title(f"{ranking.group} {ranking.operand}s")
    axes.set_ylabel(shown_label(ranking.metric))
    axes.set_xlabel(f"rank of {len(ranking.layers)} layers, the most sensitive first")
    axes.tick_params(which="minor", color=GREY)


def _name_first(axes: Axes, ranking: Ranking) -> None:
    """The most sensitive layer's name below the beginning of each curve that has room there."""
    starts = [
        (shown_value(layer.scores[index], ranking.metric), layer.name)
        for index in range(len(ranking.widths))
        for layer in ranking.layers
        if layer.ranks[index] == 1 and not math.isnan(shown_value(layer.scores[index], ranking.metric))
    ]
    likeness = is_likeness(ranking.metric)
    below = None
    for value, name in sorted(starts, reverse=likeness):
        place = -math.log10(value) * _DB_PER_DECADE if likeness else value
        if below is None or place - below > _ROOM_DB:
            axes.annotate(
                short_name(name),
                (1, value),
                xytext=(3, -3),
                textcoords="offset points",
                va="top",
                fontsize=6.5,
                color=INK,
            )
            below = place


def _ring_protected(axes: Axes, ranking: Ranking) -> None:
    """Rings around the layers whose activation the plan leaves in FP16, on the curve of the largest width."""
    floating = [layer for layer in ranking.layers if layer.bits == FLOAT_BITS]
    if ranking.operand is Operand.ACTIVATION and 0 < len(floating) < len(ranking.layers):

        def at(layer: RankedLayer) -> tuple[int, float]:
            return layer.ranks[-1], shown_value(layer.scores[-1], ranking.metric)

        axes.plot(
            *zip(*map(at, floating), strict=True),
            linestyle="none",
            marker="o",
            markersize=5,
            markerfacecolor="none",
            markeredgecolor=INK,
            label="FP16 in this plan",
        )


def short_name(name: LayerName) -> str:
    """`down 2.1.6.ff.net.2` for `down_blocks.2.attentions.1.transformer_blocks.6.ff.net.2`."""
    short = name.replace("_blocks.", " ").replace("mid_block.", "mid ")
    for part in ("attentions.", "transformer ", "resnets."):
        short = short.replace(part, "")
    return short
