"""Figure 6 as a picture: what pictures lose against what weights take, and the source's figures below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

from mixdq.compiler.explain.plot_style import BLUE, INK, RED, new_figure, save, styled
from mixdq.eval.reproduce.result import ResultRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FILE = "fig6.png"
_HEIGHT_IN = 3.6
_STEP = 9
"""Points from a label to the next below."""

_NEAR_BITS, _NEAR_FID = 0.06, 0.06
"""Of the axes' lengths: points nearer than this share one label."""


@dataclass(frozen=True, slots=True)
class _Family:
    """Rows that are drawn alike: how their names end, what they are called, and where their labels stand."""

    ending: str
    name: str
    colour: str
    marker: str
    offset: tuple[int, int]


_FAMILIES = (
    _Family("full", "full precision", INK, "o", (-2, 8)),
    _Family("naive", "naive", RED, "s", (7, 3)),
    _Family("mixdq", "MixDQ", BLUE, "*", (-4, -13)),
)


@dataclass(frozen=True, slots=True)
class _Point:
    """A row on the plot."""

    row: ResultRow
    memory: float
    fid: float


def write_scatter(rows: Sequence[ResultRow], folder: Path) -> str:
    """Writes `fig6.png` and returns its name."""
    save(scatter_figure(rows), folder / _FILE)
    return _FILE


def scatter_figure(rows: Sequence[ResultRow]) -> Figure:
    """Here on the left, the source's on the right, whose storage is a share of its full precision's."""
    full = _weights(rows[0])
    with styled():
        figure = new_figure(_HEIGHT_IN, "FID against the memory of the UNet's weights")
        left, right = figure.subplots(1, 2)
        ours = [_Point(row, _weights(row), row.ours["fid"].value) for row in rows if "fid" in row.ours]
        theirs = [_Point(row, _weights(row) / full, row.paper["fid"]) for row in rows if "fid" in row.paper]
        _draw(left, ours, "here", "packed weights, MiB")
        _draw(right, theirs, "source", "packed weights, share of FP16")
        handles, labels = right.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return figure


def _weights(row: ResultRow) -> float:
    return row.ours["weights_mib"].value


def _draw(axes: Axes, points: Sequence[_Point], title: str, across: str) -> None:
    for family in _FAMILIES:
        some = [point for point in points if point.row.name.endswith(family.ending)]
        axes.plot(
            [point.memory for point in some],
            [point.fid for point in some],
            linestyle="none",
            marker=family.marker,
            markersize=9 if family.marker == "*" else 6,
            color=family.colour,
            label=family.name,
        )
        for number, group in enumerate(_groups(some, points)):
            # Labels that stand below go down in steps, because in the source all of MixDQ's rows are level.
            right, up = family.offset
            axes.annotate(
                ", ".join(point.row.label.split()[-1] for point in group),
                (group[0].memory, group[0].fid),
                (right, up if up > 0 else up - _STEP * number),
                textcoords="offset points",
                fontsize=7,
                color=family.colour,
            )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.18, y=0.32)
    axes.set_title(title)
    axes.set_xlabel(across)
    axes.set_ylabel("FID")


def _groups(some: Sequence[_Point], all_points: Sequence[_Point]) -> list[list[_Point]]:
    """Points that lie together, the leftmost first."""
    memories, fids = [p.memory for p in all_points], [math.log(p.fid) for p in all_points]
    width, height = max(memories) - min(memories), max(fids) - min(fids)
    groups: list[list[_Point]] = []
    for point in sorted(some, key=lambda point: point.memory):
        for group in groups:
            last = group[-1]
            across = abs(point.memory - last.memory) <= _NEAR_BITS * width
            if across and abs(math.log(point.fid / last.fid)) <= _NEAR_FID * height:
                group.append(point)
                break
        else:
            groups.append([point])
    return groups
