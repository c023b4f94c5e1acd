"""The estimate of the arrivals' rate."""

from random import Random

import pytest

from mixdq.runtime.policy.rate import ArrivalRate


def test_steady_arrivals_give_their_rate() -> None:
    rate = ArrivalRate(memory_s=10.0)
    for number in range(401):
        rate.observe(number * 0.25)
    # A count just after an arrival is half a gap ahead: 4 a second and a half over the memory.
    assert rate.per_second(100.0) == pytest.approx(4.05, abs=0.01)


def test_the_first_second_is_not_biased() -> None:
    rate = ArrivalRate(memory_s=10.0)
    for number in range(5):
        rate.observe(5.0 + number * 0.25)
    assert rate.per_second(6.0) == pytest.approx(4.0, rel=0.1)


def test_poisson_arrivals_give_their_rate_on_average() -> None:
    random, rate, now_s, seen = Random(0), ArrivalRate(memory_s=10.0), 0.0, []
    for _ in range(20000):
        now_s += random.expovariate(3.0)
        seen.append(rate.per_second(now_s))
        rate.observe(now_s)
    assert sum(seen[200:]) / len(seen[200:]) == pytest.approx(3.0, rel=0.03)


def test_silence_lowers_it() -> None:
    rate = ArrivalRate(memory_s=10.0)
    for number in range(1001):
        rate.observe(number * 0.1)
    assert rate.per_second(110.0) == pytest.approx(rate.per_second(100.0) / 2.718281828, rel=1e-3)


def test_nothing_is_known_before_the_second_arrival() -> None:
    rate = ArrivalRate(memory_s=10.0)
    assert rate.per_second(3.0) == 0.0
    rate.observe(3.0)
    assert rate.per_second(4.0) == 0.0


def test_two_at_once_are_no_infinite_rate() -> None:
    rate = ArrivalRate(memory_s=10.0)
    rate.observe(3.0)
    rate.observe(3.0)
    assert rate.per_second(3.0) == pytest.approx(2.0)


def test_a_clock_that_goes_back_does_no_harm() -> None:
    rate = ArrivalRate(memory_s=10.0)
    for now_s in (5.0, 6.0, 2.0, 6.0):
        rate.observe(now_s)
    assert 0 < rate.per_second(1.0) < 10
