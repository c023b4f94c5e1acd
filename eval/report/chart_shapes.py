"""What charts consist of. Coordinates are SVG's: pixels to the right and down."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    style: str


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle; `hint` appears under the pointer."""

    x: float
    y: float
    width: float
    height: float
    style: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Dot:
    """A disc."""

    x: float
    y: float
    radius: float
    style: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """Straight lines through points."""

    points: tuple[tuple[float, float], ...]
    style: str

    @property
    def path(self) -> str:
        """As SVG writes it."""
        steps = [f"{x:.1f} {y:.1f}" for x, y in self.points]
        return f"M{'L'.join(steps)}"


@dataclass(frozen=True, slots=True)
class Label:
    """Words; `anchor` is `start`, `middle` or `end`."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    style: str = "tick"


Shape = Line | Box | Dot | Curve | Label


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing.

    Attributes:
        title: its heading, and what it is called where it can't be seen.
        width: pixels at which its words have the page's size.
        height: likewise.
        shapes: from back to front.
        text: what it shows, in words, for those who can't see it.
    """

    title: str
    width: float
    height: float
    shapes: tuple[Shape, ...]
    text: str = ""


def series_style(place: int) -> str:
    """The style of the series at a place: there are eight colours that everybody can tell apart."""
    return f"s{place % 8}"


def width_of(text: str, size: float = 11.0) -> float:
    """About how wide words are, in pixels."""
    return 0.61 * size * len(text)


def shortened(text: str, most: int) -> str:
    """A text of at most so many letters."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
