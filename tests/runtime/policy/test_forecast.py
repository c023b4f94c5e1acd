"""When those that wait will have their pictures."""

import pytest

from mixdq.runtime.policy.forecast import count_misses, finish_times
from mixdq.runtime.policy.points import Menu, make_menu, plain_points

from .conftest import MakeRequest


def test_one_worker_serves_one_after_the_other_at_the_fastest(menu: Menu, make_request: MakeRequest) -> None:
    waiting = [make_request(), make_request(allowed=(menu.find(1024),)), make_request()]
    assert finish_times(waiting, [(1.0, 0.0, 1.0)], 3.0) == pytest.approx([1.1, 1.5, 1.6])


def test_the_worker_that_is_free_first_takes_the_next(make_request: MakeRequest) -> None:
    waiting = [make_request() for _ in range(4)]
    assert finish_times(waiting, [(0.25, 0.0, 1.0), (0.0, 0.0, 1.0)], 0.0) == pytest.approx(
        [0.1, 0.2, 0.3, 0.35]
    )


def test_caution_grows_with_the_root_of_the_number(make_request: MakeRequest) -> None:
    noisy = make_menu(plain_points({512: 0.1}, {512: 1.0}, 0.1))
    waiting = [make_request(allowed=noisy.points) for _ in range(3)]
    # Each adds a variance of 0.01², the worker's batch brings another: 2 sigmas of 0.01 sqrt(2, 3, 4).
    times = finish_times(waiting, [(0.0, 1e-4, 1.0)], 2.0)
    assert times == pytest.approx([0.1 + 0.02 * 2**0.5, 0.2 + 0.02 * 3**0.5, 0.3 + 0.02 * 2])


def test_neighbours_share_a_batch(batched: Menu, make_request: MakeRequest) -> None:
    waiting = [make_request(allowed=batched.points) for _ in range(6)]
    assert finish_times(waiting, [(0.0, 0.0, 1.0)], 0.0) == pytest.approx([0.3] * 4 + [0.5] * 2)
    fixed = make_request(allowed=(batched.find(1024),))
    assert finish_times([waiting[0], fixed, waiting[1]], [(0.0, 0.0, 1.0)], 0.0) == pytest.approx(
        [0.15, 0.55, 0.7]
    )


def test_a_slow_worker_takes_longer(make_request: MakeRequest) -> None:
    waiting = [make_request() for _ in range(3)]
    assert finish_times(waiting, [(0.0, 0.0, 2.0), (0.15, 0.0, 1.0)], 0.0) == pytest.approx([0.2, 0.25, 0.4])


def test_misses_are_after_the_deadline(make_request: MakeRequest) -> None:
    waiting = [make_request(1.0), make_request(1.0), make_request()]
    assert count_misses(waiting, [1.0, 1.1, 99.0]) == 1
