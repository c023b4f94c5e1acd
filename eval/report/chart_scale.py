"""From figures to pixels, with ticks at round figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis.

    Attributes:
        low: figure at `start`.
        high: figure at `end`.
        start: pixels.
        end: pixels; less than `start` where figures rise upwards.
        ticks: round figures from `low` to `high`.
        is_log: whether equal ratios are equally long.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    is_log: bool = False

    def words(self, tick: float) -> str:
        """A tick's figure."""
        return shown(tick) if self.is_log else _in_steps(tick, self.ticks)

    def at(self, value: float) -> float:
        """Where a figure is."""
        low, high, figure = self.low, self.high, value
        if self.is_log:
            low, high, figure = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        return self.start + (figure - low) / (high - low) * (self.end - self.start)


def linear(
    values: Sequence[float],
    start: float,
    end: float,
    *,
    zero: bool,
    most: int = 5,
    ceiling: float | None = None,
) -> Scale:
    """An axis of equal steps over all values.

    Args:
        values: at least one.
        start: pixels of the lowest.
        end: pixels of the highest.
        zero: whether it has to begin at 0, as lengths of bars must.
        most: ticks, about.
        ceiling: a round figure that none can be above, where there is one.
    """
    low, high = min(values), max(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= 1e-12 * max(1.0, abs(high)):
        half = abs(high) / 2 or 1.0
        low, high = (0.0, high or 1.0) if zero else (low - half, high + half)
    step = _round_step((high - low) / most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(step * place for place in range(first, last + 1))
    if ceiling is not None:
        ticks = tuple(tick for tick in ticks if tick <= ceiling + 1e-9)
    return Scale(ticks[0], ticks[-1], start, end, ticks)


def logarithmic(values: Sequence[float], start: float, end: float, most: int = 6) -> Scale:
    """An axis of equal ratios over values above 0; its ticks are powers of ten, if it has two."""
    low, high = min(values), max(values)
    if high <= low * (1 + 1e-9):
        low, high = low / 2, high * 2
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    every = max(1, math.ceil((last - first + 1) / most))
    ticks = tuple(10.0**power for power in range(first, last + 1, every))
    if len(ticks) < 2:
        fine = (factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5))
        ticks = tuple(tick for tick in fine if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9))
    return Scale(low, high, start, end, ticks, is_log=True)


def shown(value: float) -> str:
    """A tick's figure, or another with three digits that count; its minus sign is one."""
    return _shown(value).replace("-", "−")


def _in_steps(value: float, ticks: Sequence[float]) -> str:
    """A tick's figure, with as many digits as tell it from the next."""
    if len(ticks) < 2 or value == 0:
        return shown(value)
    step = min(abs(after - before) for before, after in pairwise(ticks))
    digits = max(0, -math.floor(math.log10(step) + 1e-9) + (step / 10 ** math.floor(math.log10(step)) == 2.5))
    return f"{value:,.{digits}f}".replace("-", "−") if digits <= 4 else shown(value)


def _shown(value: float) -> str:
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-3 or size >= 1e7:
        base, _, power = f"{value:.0e}".partition("e")
        return f"{base}e{int(power)}"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
