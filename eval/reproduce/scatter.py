"""Figure 6 as a picture: what pictures lose against what weights take, and the source's figures below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixdq.compiler.explain.plot_style import BLUE, INK, RED, new_figure, save, styled
from mixdq.eval.reproduce.result import ResultRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FILE = "fig6.png"
_HEIGHT_IN = 3.6
_FAMILIES = (("full", INK, "o"), ("naive", RED, "s"), ("mixdq", BLUE, "*"))


def write_scatter(rows: Sequence[ResultRow], folder: Path) -> str:
    """Writes `fig6.png` and returns its name."""
    save(scatter_figure(rows), folder / _FILE)
    return _FILE


def scatter_figure(rows: Sequence[ResultRow]) -> Figure:
    """Here on the left, the source's on the right, whose storage is a share of its full precision's."""
    full = rows[0].ours["weights_mib"].value
    with styled():
        figure = new_figure(_HEIGHT_IN, "FID against the memory of the UNet's weights")
        left, right = figure.subplots(1, 2)
        ours = [
            (row, row.ours["weights_mib"].value, row.ours["fid"].value) for row in rows if "fid" in row.ours
        ]
        theirs = [
            (row, row.ours["weights_mib"].value / full, row.paper["fid"])
            for row in rows
            if "fid" in row.paper
        ]
        _draw(left, ours, "here", "packed weights, MiB")
        _draw(right, theirs, "source", "packed weights, share of FP16")
        handles, labels = right.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return figure


def _draw(axes: Axes, points: Sequence[tuple[ResultRow, float, float]], title: str, across: str) -> None:
    for family, colour, marker in _FAMILIES:
        some = [point for point in points if point[0].name.endswith(family)]
        axes.plot(
            [memory for _, memory, _ in some],
            [fid for _, _, fid in some],
            linestyle="none",
            marker=marker,
            markersize=9 if marker == "*" else 6,
            color=colour,
            label={"full": "full precision", "naive": "naive", "mixdq": "MixDQ"}[family],
        )
        for row, memory, fid in some:
            label = row.label.removeprefix("naive ").removeprefix("MixDQ ")
            axes.annotate(label, (memory, fid), (5, 4), textcoords="offset points", fontsize=7, color=colour)
    axes.set_yscale("log")
    axes.margins(x=0.18, y=0.12)
    axes.set_title(title)
    axes.set_xlabel(across)
    axes.set_ylabel("FID")
