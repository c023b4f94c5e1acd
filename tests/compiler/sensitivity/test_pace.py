"""Times left, by groups whose layers take differently long."""

import pytest

from mixdq.compiler.sensitivity.pace import expected_s, in_words
from mixdq.configs.layers import Group

QUALITY, CONTENT = Group.QUALITY, Group.CONTENT


def test_each_group_takes_as_long_as_it_took() -> None:
    measured = [(QUALITY, 1.0), (QUALITY, 3.0), (CONTENT, 10.0)]
    assert expected_s(measured, [QUALITY, QUALITY, CONTENT]) == 14.0
    assert expected_s(measured, []) == 0.0


def test_a_group_that_was_not_measured_takes_the_average() -> None:
    assert expected_s([(QUALITY, 1.0), (QUALITY, 3.0)], [CONTENT]) == 2.0


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (119, "119 s"), (121, "2 min"), (7199, "120 min"), (9000, "2.5 h")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
