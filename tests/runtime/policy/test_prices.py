"""The decision problem behind the prices, against cases that can be worked out and against brute force."""

import math
from itertools import product
from random import Random

import numpy as np
import pytest

from mixdq.runtime.policy.points import Menu, Point, make_menu, plain_points
from mixdq.runtime.policy.prices import Problem, solve


def _first(problem: Problem, rate: float) -> list[tuple[int, int]]:
    """Resolution and count of the best option with 1, 2, … waiting."""
    ranking = solve(problem, rate, 1.0).ranking
    return [(options[0].point.resolution, options[0].count) for options in ranking[1:]]


def test_a_queue_of_one_place_has_a_closed_form() -> None:
    # Capacity 1, one point: served one at a time; of those who come meanwhile one is kept. Between two starts
    # pass s seconds, and 1/rate more if none came: gain = (u - cost E[refused]) / (s + P[none] / rate).
    menu = make_menu(plain_points({512: 0.6}, {512: 0.7}, 0.0))
    mean = 2.0 * 0.6
    none = math.exp(-mean)
    refused = mean - (1 - none)
    expected = (0.7 - 3.0 * refused) / (0.6 + none / 2.0)
    assert solve(Problem(menu, 1.0, 1, 3.0), 2.0, 1.0).gain_per_s == pytest.approx(expected, rel=1e-12)


def test_with_hardly_any_arrivals_everyone_gets_the_best(menu: Menu) -> None:
    problem = Problem(menu, 1.0, 1, 2.0)
    prices = solve(problem, 0.01, 1.0)
    assert prices.gain_per_s == pytest.approx(0.01, rel=1e-2)
    # 0.4 s and then six at 0.1 s are just one second.
    assert [size for size, _ in _first(problem, 0.01)][:6] == [1024] * 6


def test_over_capacity_everyone_gets_the_fastest(menu: Menu) -> None:
    assert {size for size, _ in _first(Problem(menu, 1.0, 1, 2.0), 12.0)} == {512}


def test_more_arrivals_or_more_waiting_never_mean_a_slower_point(menu: Menu) -> None:
    problem = Problem(menu, 1.0, 1, 2.0)
    table = [[size for size, _ in _first(problem, rate)] for rate in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)]
    assert all(row == sorted(row, reverse=True) for row in table)
    columns = list(zip(*table, strict=True))
    assert all(list(column) == sorted(column, reverse=True) for column in columns)
    assert len({size for row in table for size in row}) == 3


def test_a_dearer_refusal_never_means_a_slower_point(menu: Menu) -> None:
    cheap, dear = (_first(Problem(menu, 1.0, 1, cost), 5.0) for cost in (0.0, 20.0))
    assert all(left[0] >= right[0] for left, right in zip(cheap, dear, strict=True))
    assert cheap != dear


def test_arrivals_in_clumps_never_mean_a_slower_point(menu: Menu) -> None:
    problem = Problem(menu, 1.0, 1, 2.0)
    even, clumped = (
        [options[0].point.resolution for options in solve(problem, 4.0, dispersion).ranking[1:]]
        for dispersion in (1.0, 4.0)
    )
    assert all(left >= right for left, right in zip(even, clumped, strict=True))
    assert even != clumped


def test_two_workers_are_one_that_is_twice_as_fast(menu: Menu) -> None:
    assert Problem(menu, 1.0, 2, 2.0).capacity == 2 * Problem(menu, 1.0, 1, 2.0).capacity == 20
    assert (
        solve(Problem(menu, 1.0, 2, 2.0), 12.0, 1.0).gain_per_s
        > 1.9 * solve(Problem(menu, 1.0, 1, 2.0), 6.0, 1.0).gain_per_s
    )


def test_full_batches_pay_when_many_wait(batched: Menu) -> None:
    problem = Problem(batched, 1.0, 1, 2.0)
    assert problem.throughput_per_s == pytest.approx(4 / 0.3)
    first = _first(problem, 10.0)
    assert first[0][1] == 1
    assert all(count == 4 for _, count in first[3:])
    assert all(option.count <= 2 for option in solve(problem, 10.0, 1.0).options(2))


@pytest.mark.parametrize(("rate", "dispersion"), [(2.0, 1.0), (4.0, 1.0), (7.0, 1.0), (4.0, 2.5)])
def test_no_fixed_choice_does_better(rate: float, dispersion: float) -> None:
    """Every choice in every state, each judged by the stationary mean of the chain that it makes."""
    menu = make_menu(plain_points({512: 0.2, 768: 0.35}, {512: 0.7, 768: 1.0}, 0.0))
    problem = Problem(menu, 1.0, 1, 1.5)
    assert problem.capacity == 5
    gains = [
        _stationary_gain(problem, rate, dispersion, choice)
        for choice in product(menu.points, repeat=5)
        if all(
            point.typical_s[0] + 0.2 * waiting <= 1 or point is menu.points[0]
            for waiting, point in enumerate(choice)
        )
    ]
    assert solve(problem, rate, dispersion).gain_per_s == pytest.approx(max(gains), rel=1e-9)


def _stationary_gain(problem: Problem, rate: float, dispersion: float, choice: tuple[Point, ...]) -> float:
    """Reward over time, by the power method instead of linear equations."""
    top = problem.capacity
    chances, reward, seconds = [[0.0] * (top + 1) for _ in range(top + 1)], [0.0], [1 / rate]
    chances[0][1] = 1.0
    for waiting, point in enumerate(choice, start=1):
        mean = rate * point.typical_s[0]
        refused = 0.0
        # From one number's chance to the next: by mean / k, or the negative binomial's by Panjer's rule.
        shrink = 1 - 1 / dispersion
        chance = math.exp(-mean) if not shrink else dispersion ** (-mean / (dispersion - 1))
        for number in range(120):
            if number:
                chance *= mean / number if not shrink else shrink + (mean / dispersion - shrink) / number
            after = waiting - 1 + number
            chances[waiting][min(after, top)] += chance
            refused += chance * max(0, after - top)
        reward.append(point.utility - problem.refusal_cost * refused)
        seconds.append(point.typical_s[0])
    # Half a step at a time: the chain itself may be periodic. Squared twelve times that is 4096 steps.
    step = (np.array(chances) + np.eye(top + 1)) / 2
    for _ in range(12):
        step = step @ step
    stationary = step.mean(axis=0)
    return float(stationary @ np.array(reward) / (stationary @ np.array(seconds)))


def test_any_menu_is_solved_and_leaves_a_choice_in_every_state() -> None:
    random = Random(1)
    for _ in range(10):
        points = [
            Point(
                size,
                random.uniform(0.1, 1),
                tuple(sorted(random.uniform(0.01, 2) for _ in range(3))),
                (0.0,) * 3,
            )
            for size in (512, 768, 1024)
        ]
        problem = Problem(
            make_menu(points), random.uniform(0.05, 3), random.randint(1, 3), random.uniform(0, 5)
        )
        for rate, dispersion in ((1e-3, 1.0), (1.0, 5.0), (2 * problem.throughput_per_s, 1.0)):
            prices = solve(problem, rate, dispersion)
            assert math.isfinite(prices.gain_per_s)
            assert all(prices.options(waiting) for waiting in range(1, problem.capacity + 5))
