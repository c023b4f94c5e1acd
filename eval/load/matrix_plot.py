"""The matrix as pictures: nine files, by the names that the earlier experiment gave them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixdq.compiler.explain.plot_style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    new_figure,
    save,
    styled,
)
from mixdq.configs.errors import EvaluationError
from mixdq.eval.load.matrix import CONCURRENCIES, Drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT_IN = 3.6
_COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, INK)
_WIDTH = 0.38
_PERCENTILES = {"p95": "95th percentile", "p99": "99th percentile"}


def write_plots(cells: Sequence[Drawn], folder: Path) -> tuple[Path, ...]:
    """Draws all nine.

    Args:
        cells: both policies of each pattern.
        folder: where to.

    Raises:
        EvaluationError: a pattern of the matrix, or one of its policies, is not there.
    """
    found = []
    for name, figure in plots(cells).items():
        found.append(folder / f"{name}.png")
        save(figure, found[-1])
    return tuple(found)


def plots(cells: Sequence[Drawn]) -> dict[str, Figure]:
    """The pictures by their files' names.

    Raises:
        EvaluationError: as `write_plots` does.
    """
    poisson = [cell for cell in cells if cell.pattern == "poisson"]
    bursts = {
        clients: [cell for cell in cells if cell.pattern == "burst" and cell.conc == clients]
        for clients in CONCURRENCIES
    }
    _check_pairs("Poisson arrivals", poisson)
    for clients, some in bursts.items():
        _check_pairs(f"a burst of {clients}", some)
    figures: dict[str, Figure] = {}
    with styled():
        for short, long in _PERCENTILES.items():
            figures[f"poisson_{short}_ms"] = _lines(poisson, f"{short}_ms", f"Poisson arrivals: {long}")
            for clients, some in bursts.items():
                title = f"{_clients(clients)}: {long}"
                figures[f"burst_conc{clients}_{short}_ms"] = _bars(some, f"{short}_ms", title)
        figures["poisson_delta_p95_ms"] = _line_deltas(poisson)
        for clients, some in bursts.items():
            figures[f"burst_conc{clients}_delta_p95_ms"] = _bar_deltas(some, _clients(clients))
    return figures


def _lines(cells: Sequence[Drawn], figure_name: str, title: str) -> Figure:
    """Milliseconds over the rate: a colour a precision, the static policy dashed."""
    figure = new_figure(_HEIGHT_IN, title)
    axes = figure.subplots()
    for colour, wbits in zip(_COLOURS, _precisions(cells), strict=False):
        for policy, style in (("static", "--"), ("adaptive", "-")):
            some = sorted(_of(cells, wbits=wbits, policy=policy), key=lambda cell: cell.lam or 0.0)
            axes.plot(
                [cell.lam or 0.0 for cell in some],
                [_figure(cell, figure_name) for cell in some],
                style,
                color=colour,
                marker="o" if policy == "adaptive" else "s",
                markersize=4.5,
                markerfacecolor=colour if policy == "adaptive" else "white",
                label=f"{_label(wbits)}, {policy}",
            )
    _rates(axes, cells)
    axes.set_ylabel("milliseconds")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right upper")
    return figure


def _bars(cells: Sequence[Drawn], figure_name: str, title: str) -> Figure:
    """Milliseconds: a pair of bars a precision."""
    figure = new_figure(_HEIGHT_IN, title)
    axes = figure.subplots()
    precisions = _precisions(cells)
    for shift, policy, colour in ((-0.5, "static", SKY), (0.5, "adaptive", BLUE)):
        heights = [_figure(_one(cells, wbits, policy), figure_name) for wbits in precisions]
        places = [place + shift * _WIDTH for place in range(len(precisions))]
        bars = axes.bar(places, heights, _WIDTH, color=colour, label=policy)
        axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
    _groups(axes, precisions)
    axes.set_ylabel("milliseconds")
    axes.margins(y=0.1)
    figure.legend(loc="outside right upper")
    return figure


def _line_deltas(cells: Sequence[Drawn]) -> Figure:
    """What adapting adds to the 95th percentile, over the rate."""
    figure = new_figure(_HEIGHT_IN, "Poisson arrivals: 95th percentile, adaptive less static")
    axes = figure.subplots()
    for colour, wbits in zip(_COLOURS, _precisions(cells), strict=False):
        static = {cell.lam: cell for cell in _of(cells, wbits=wbits, policy="static")}
        pairs = sorted(
            (cell.lam or 0.0, _figure(cell, "p95_ms") - _figure(static[cell.lam], "p95_ms"))
            for cell in _of(cells, wbits=wbits, policy="adaptive")
        )
        axes.plot(*zip(*pairs, strict=True), "o-", color=colour, markersize=4.5, label=_label(wbits))
    axes.axhline(0.0, color=INK, linewidth=0.8)
    _rates(axes, cells)
    axes.set_ylabel("milliseconds; below 0 adapting is faster")
    figure.legend(loc="outside right upper")
    return figure


def _bar_deltas(cells: Sequence[Drawn], clients: str) -> Figure:
    """What adapting adds to the 95th percentile, a bar a precision."""
    figure = new_figure(_HEIGHT_IN, f"{clients}: 95th percentile, adaptive less static")
    axes = figure.subplots()
    precisions = _precisions(cells)
    deltas = [
        _figure(_one(cells, wbits, "adaptive"), "p95_ms") - _figure(_one(cells, wbits, "static"), "p95_ms")
        for wbits in precisions
    ]
    bars = axes.bar(range(len(precisions)), deltas, _WIDTH, color=BLUE)
    axes.bar_label(bars, fmt="%+.0f", padding=2, fontsize=8)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    _groups(axes, precisions)
    axes.set_ylabel("milliseconds; below 0 adapting is faster")
    axes.margins(y=0.15)
    return figure


def _rates(axes: Axes, cells: Iterable[Drawn]) -> None:
    axes.set_xticks(sorted({cell.lam for cell in cells if cell.lam is not None}))
    axes.set_xlabel("requests a second")


def _groups(axes: Axes, precisions: Sequence[str]) -> None:
    axes.set_xticks(range(len(precisions)), [_label(wbits) for wbits in precisions])
    axes.set_xlim(-1.0, len(precisions))
    axes.grid(visible=False, axis="x")


def _check_pairs(what: str, cells: Sequence[Drawn]) -> None:
    policies: dict[tuple[object, ...], set[str]] = {}
    for cell in cells:
        policies.setdefault((cell.wbits, cell.lam), set()).add(cell.policy)
    if not policies or any(found != {"static", "adaptive"} for found in policies.values()):
        raise EvaluationError(
            f"the results lack {what}, static and adaptive of each precision: give all rows that `mixdq-eval "
            "load-matrix` writes"
        )


def _precisions(cells: Iterable[Drawn]) -> list[str]:
    return list(dict.fromkeys(cell.wbits for cell in cells))


def _of(cells: Iterable[Drawn], *, wbits: str, policy: str) -> list[Drawn]:
    return [cell for cell in cells if (cell.wbits, cell.policy) == (wbits, policy)]


def _one(cells: Iterable[Drawn], wbits: str, policy: str) -> Drawn:
    (found,) = _of(cells, wbits=wbits, policy=policy)
    return found


def _figure(cell: Drawn, name: str) -> float:
    """A figure of a row; no number, which draws nothing, where no picture was made."""
    found: float | None = getattr(cell, name)
    return float("nan") if found is None else found


def _label(wbits: str) -> str:
    return f"{wbits}-bit weights" if wbits.isdecimal() else wbits


def _clients(count: int) -> str:
    return (
        "A client that waits for each answer"
        if count == 1
        else f"{count} clients that wait for their answers"
    )
