"""Amounts in words: rounded up so that what is named suffices; memory in the unit that suits it."""

from __future__ import annotations

import math
from fractions import Fraction

_DIGITS = 5
_UNITS = (("GiB", 2**33), ("MiB", 2**23), ("KiB", 2**13))


def rounded_up(exact: Fraction, digits: int) -> str:
    """The smallest number of so many digits that is no less."""
    places = digits - 1 - math.floor(math.log10(exact)) if exact else 0
    scale = Fraction(10) ** places
    return f"{float(Fraction(math.ceil(exact * scale)) / scale):.{digits}g}"


def memory_in_words(bits: Fraction | float, *, up: bool = False) -> str:
    """`1.6GiB` of bits, as `parse_memory` reads it.

    Args:
        bits: not negative.
        up: whether to round up, for an amount that has to suffice.
    """
    name, unit = next((pair for pair in _UNITS if bits >= pair[1]), _UNITS[-1])
    number = rounded_up(Fraction(bits) / unit, _DIGITS) if up else f"{float(bits / unit):.{_DIGITS}g}"
    return f"{number}{name}"
