"""How all plots look: sizes for a page, colours that everybody can tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixdq.configs.files import writing
from mixdq.configs.layers import Role

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH_IN = 7.2
_DPI = 200

# Okabe and Ito's palette, made for colour-blind readers.
ORANGE, SKY, GREEN, BLUE, RED, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
INK, GREY, PALE = "#222222", "#767676", "#BBBBBB"

ROLE_COLOURS: Mapping[Role, str] = {
    Role.CROSS_ATTENTION: BLUE,
    Role.FEED_FORWARD: ORANGE,
    Role.SELF_ATTENTION: GREEN,
    Role.CONVOLUTION: RED,
    Role.OTHER: PURPLE,
}

WIDTH_COLOURS = (RED, ORANGE, BLUE, GREEN, PURPLE, SKY, INK)
"""Of the first measured width, the second, and so on: there are seven, from 2 to 8 bits."""

_STYLE: Mapping[Any, object] = {
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
}


def styled() -> AbstractContextManager[None]:
    """Makes what is drawn inside look like mixdq's plots."""
    from matplotlib import rc_context

    return rc_context(dict(_STYLE))


def new_figure(height_in: float, title: str) -> Figure:
    """An empty figure of a page's width, drawn without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG, whole or not at all."""
    with writing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI)
