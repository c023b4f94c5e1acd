"""The resolution by the number of those that wait."""

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.runtime.policy.points import Menu
from mixdq.runtime.policy.policy import Worker
from mixdq.runtime.policy.thresholds import Thresholds

from .conftest import MakeRequest, MakeSituation


def _levels(menu: Menu, hysteresis: int, waiting: list[int], start: int | None) -> list[int]:
    policy = Thresholds(menu.points, (2, 5), hysteresis)
    last = None if start is None else menu.find(start)
    found = []
    for number in waiting:
        last = policy.level(number, last)
        found.append(last.resolution)
    return found


def test_the_table_for_0_to_10_waiting(menu: Menu) -> None:
    policy = Thresholds(menu.points, (2, 5), hysteresis=0)
    found = [policy.level(waiting, None).resolution for waiting in range(11)]
    assert found == [1024] * 3 + [768] * 3 + [512] * 5


@pytest.mark.parametrize("last", [512, 768, 1024])
def test_without_hysteresis_the_last_one_does_not_matter(menu: Menu, last: int) -> None:
    policy = Thresholds(menu.points, (2, 5), hysteresis=0)
    found = [policy.level(waiting, menu.find(last)).resolution for waiting in range(11)]
    assert found == [1024] * 3 + [768] * 3 + [512] * 5


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (1024, [1024] * 3 + [768] * 3 + [512] * 5),
        (768, [1024] * 2 + [768] * 4 + [512] * 5),
        (512, [1024] * 2 + [768] * 3 + [512] * 6),
    ],
)
def test_with_hysteresis_it_gets_better_one_request_later(menu: Menu, last: int, expected: list[int]) -> None:
    policy = Thresholds(menu.points, (2, 5), hysteresis=1)
    assert [policy.level(waiting, menu.find(last)).resolution for waiting in range(11)] == expected


def test_a_queue_that_swings_around_a_bound_does_not_flap(menu: Menu) -> None:
    swinging = [2, 3] * 5
    assert _levels(menu, 1, swinging, 1024) == [1024] + [768] * 9
    assert _levels(menu, 0, swinging, 1024) == [1024, 768] * 5
    assert _levels(menu, 1, [5, 6] * 5, 768) == [768] + [512] * 9
    assert _levels(menu, 2, [1, 3] * 5, 1024) == [1024] + [768] * 9


def test_it_falls_by_two_and_rises_by_two_at_once(menu: Menu) -> None:
    assert _levels(menu, 1, [0, 9, 0], None) == [1024, 512, 1024]


def test_the_one_to_be_served_does_not_count_as_waiting(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    policy = Thresholds(menu.points, (2, 5), hysteresis=0)
    waiting = [make_request() for _ in range(4)]
    assert policy.choose(Worker(0), make_situation(waiting[:3])).point.resolution == 1024
    assert policy.choose(Worker(0), make_situation(waiting)).point.resolution == 768


def test_a_size_that_was_asked_for_stays(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    policy = Thresholds(menu.points, (2, 5), hysteresis=0)
    for size in (512, 1024):
        crowd = [make_request(allowed=(menu.find(size),)), *(make_request() for _ in range(9))]
        assert policy.choose(Worker(0), make_situation(crowd)).point.resolution == size
        assert policy.choose(Worker(0), make_situation(crowd[:1])).point.resolution == size
    smaller = menu.allowed(768, downgrade=True)
    assert policy.choose(Worker(0), make_situation([make_request(allowed=smaller)])).point.resolution == 768


@pytest.mark.parametrize("bounds", [(2,), (2, 5, 9), ()])
def test_it_needs_one_bound_fewer_than_resolutions(menu: Menu, bounds: tuple[int, ...]) -> None:
    with pytest.raises(EvaluationError, match="3 resolutions need 2 thresholds"):
        Thresholds(menu.points, bounds, 1)


@pytest.mark.parametrize("bounds", [(5, 2), (2, 2), (-1, 2)])
def test_bounds_ascend(menu: Menu, bounds: tuple[int, ...]) -> None:
    with pytest.raises(EvaluationError, match="ascending numbers"):
        Thresholds(menu.points, bounds, 1)
