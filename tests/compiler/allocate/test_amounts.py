from __future__ import annotations

from fractions import Fraction

import pytest

from mixdq.compiler.allocate.amounts import memory_in_words, rounded_up
from mixdq.compiler.allocate.words import parse_memory


@pytest.mark.parametrize(
    ("exact", "words"),
    [(Fraction(4), "4"), (Fraction(1, 3), "0.334"), (Fraction(2004, 1000), "2.01"), (Fraction(0), "0")],
)
def test_numbers_are_rounded_up(exact: Fraction, words: str) -> None:
    assert rounded_up(exact, 3) == words


@pytest.mark.parametrize(
    ("size", "words"), [(512, "0.5KiB"), (1024, "1KiB"), (7 * 2**20, "7MiB"), (1717986918, "1.6GiB")]
)
def test_memory_has_the_unit_that_suits_it(size: int, words: str) -> None:
    assert memory_in_words(Fraction(size * 8)) == words


@pytest.mark.parametrize("bits", [1, 8001, 123_456_789, 2**33 - 1, 2**33 + 1])
def test_memory_that_is_rounded_up_suffices(bits: int) -> None:
    found = parse_memory(memory_in_words(Fraction(bits), up=True)) * 2**33
    assert bits <= found <= bits * 1.001 + 1
