"""Figures as people read them."""

from __future__ import annotations

from collections.abc import Iterable

from mixdq.eval.report.view import Cell

_DIGITS = 12


def fixed(value: float | None, digits: int) -> str:
    """`12.3`; a minus sign that is one; a dash where nothing is known."""
    return "–" if value is None else f"{value:,.{digits}f}".replace("-", "−")


def signed(value: float, digits: int) -> str:
    """`+0.12`, `−0.12`."""
    text = f"{value:+,.{digits}f}"
    return text[1:] if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def significant(value: float | None, digits: int = 3) -> str:
    """A figure with so many digits that count, at least those before the point."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    before = len(f"{abs(value):.0f}") if abs(value) >= 1 else 0
    leading = 0 if abs(value) >= 1 else -int(f"{abs(value):e}".partition("e")[2]) - 1
    return fixed(value, max(0, digits - before + leading))


def span(low: float | None, high: float | None, digits: int) -> str:
    """`0.992–0.993`; empty without ends."""
    return "" if low is None or high is None else f"{fixed(low, digits)}–{fixed(high, digits)}"


def mib(size: float | None) -> str:
    """Bytes as MiB."""
    return "–" if size is None else fixed(size / (1 << 20), 1)


def percent(share: float | None, digits: int = 1) -> str:
    """A share as percent."""
    return "–" if share is None else f"{fixed(100 * share, digits)} %"


def brief(digest: str | None) -> str:
    """The beginning of a digest; a dash for none."""
    return "–" if not digest else digest[:_DIGITS]


def counted(count: int, noun: str) -> str:
    """`1 picture`, `8 pictures`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(words: Iterable[object]) -> str:
    """`a, b and c`."""
    texts = [str(word) for word in words]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else ""


def cells(*texts: str | Cell) -> tuple[Cell, ...]:
    """A row of a table."""
    return tuple(text if isinstance(text, Cell) else Cell(text) for text in texts)
