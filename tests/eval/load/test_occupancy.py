"""What pictures took of the worker, from what the server tells."""

from dataclasses import replace

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.eval.load.occupancy import occupancies
from mixdq.eval.load.sample import Sample

from .conftest import sample


def _made(sent_s: float, wait_s: float, service_s: float, batch: int = 1) -> Sample:
    one = sample(sent_s=sent_s, wait_s=wait_s, service_s=service_s)
    return replace(one, reply=replace(one.reply, batch=batch))


def test_between_two_that_follow_each_other_the_server_s_own_time_counts() -> None:
    # Begun at 0, at 0.21 (it came at 0.05, so 0.01 s lie between), and at 1 (it came after the second).
    samples = [_made(0.0, 0.0, 0.2), _made(0.05, 0.16, 0.3), _made(1.0, 0.0, 0.25)]
    found = occupancies(samples)
    assert [one.seconds for one in found] == pytest.approx([0.21, 0.3, 0.25])
    assert {one.size for one in found} == {512}


def test_they_are_in_the_order_of_service_and_only_of_pictures() -> None:
    samples = [_made(0.1, 0.21, 0.2), sample(1, status=429, size=None), _made(0.2, 0.0, 0.1)]
    assert [one.seconds for one in occupancies(samples)] == pytest.approx([0.11, 0.2])
    assert occupancies([]) == ()


def test_several_pictures_at_once_can_not_be_told_apart() -> None:
    with pytest.raises(EvaluationError, match="made 2 pictures at once"):
        occupancies([_made(0.0, 0.0, 0.2, batch=2)])


def test_a_server_that_tells_no_times_is_refused() -> None:
    with pytest.raises(EvaluationError, match="does not tell what its pictures took"):
        occupancies([sample()])
