"""A sweep's points, its Pareto frontier, and the plan's own point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixdq.compiler.explain.frontier import Frontier
from mixdq.compiler.explain.plot_style import BLUE, PALE, RED, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT_IN = 3.9


def frontier_figure(frontiers: Sequence[Frontier], model: str) -> Figure:
    """A panel for each operand."""
    with styled():
        figure = new_figure(_HEIGHT_IN, f"Budgets of {model}: what more bits are worth")
        panels = figure.subplots(1, len(frontiers), squeeze=False, sharey=True)
        entries: dict[str, Artist] = {}
        for axes, frontier in zip(panels.flat, frontiers, strict=True):
            _draw(axes, frontier)
            handles, labels = axes.get_legend_handles_labels()
            entries |= dict(zip(labels, handles, strict=True))
        panels.flat[0].set_ylabel("objective (2: all that there is to gain)")
        figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=len(entries))
        return figure


def _draw(axes: Axes, frontier: Frontier) -> None:
    own = frontier.own
    points = [(point.mean_bits, point.objective) for point in frontier.feasible]
    best = [(point.mean_bits, point.objective) for point in frontier.best]
    if points:
        axes.plot(*zip(*points, strict=True), ".", markersize=3.5, color=PALE, label="a pair of budgets")
        axes.plot(*zip(*best, strict=True), "-o", markersize=2.5, color=BLUE, label="Pareto frontier")
    if own.mean_bits is not None and own.objective is not None:
        axes.plot(
            [own.mean_bits],
            [own.objective],
            linestyle="none",
            marker="*",
            markersize=11,
            color=RED,
            markeredgecolor="white",
            zorder=5,
            label="this plan",
        )
    elif own.mean_bits is not None:
        axes.axvline(own.mean_bits, color=RED, linestyle="--", label="this plan's bits")
    axes.set_title(f"{frontier.operand}s: {len(points)} pairs, {len(best)} on the frontier")
    note = f"\n{len(frontier.infeasible)} more can't be kept" if frontier.infeasible else ""
    axes.set_xlabel(f"mean {frontier.operand} bits{note}")
