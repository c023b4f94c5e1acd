"""The estimate of the arrivals' rate."""

from collections.abc import Callable
from random import Random

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.runtime.policy.rate import ArrivalRate


def test_steady_arrivals_give_their_rate() -> None:
    rate = ArrivalRate(memory_s=10.0, window_s=1.0)
    for number in range(401):
        rate.observe(number * 0.25)
    # A count just after an arrival is half a gap ahead: 4 a second and a half over the memory.
    assert rate.per_second(100.0) == pytest.approx(4.05, abs=0.01)


def test_the_first_second_is_not_biased() -> None:
    rate = ArrivalRate(memory_s=10.0, window_s=1.0)
    for number in range(5):
        rate.observe(5.0 + number * 0.25)
    assert rate.per_second(6.0) == pytest.approx(4.0, rel=0.1)


def test_poisson_arrivals_give_their_rate_on_average() -> None:
    random, rate, now_s, seen = Random(0), ArrivalRate(memory_s=10.0, window_s=1.0), 0.0, []
    for _ in range(20000):
        now_s += random.expovariate(3.0)
        seen.append(rate.per_second(now_s))
        rate.observe(now_s)
    assert sum(seen[200:]) / len(seen[200:]) == pytest.approx(3.0, rel=0.03)


def test_silence_lowers_it() -> None:
    rate = ArrivalRate(memory_s=10.0, window_s=1.0)
    for number in range(1001):
        rate.observe(number * 0.1)
    assert rate.per_second(110.0) == pytest.approx(rate.per_second(100.0) / 2.718281828, rel=1e-3)


def test_nothing_is_known_before_the_second_arrival() -> None:
    rate = ArrivalRate(memory_s=10.0, window_s=1.0)
    assert rate.per_second(3.0) == 0.0
    rate.observe(3.0)
    assert rate.per_second(4.0) == 0.0


def test_two_at_once_are_no_infinite_rate() -> None:
    rate = ArrivalRate(memory_s=10.0, window_s=1.0)
    rate.observe(3.0)
    rate.observe(3.0)
    assert rate.per_second(3.0) == pytest.approx(2.0)


def _dispersion(random: Random, gap: Callable[[], float]) -> float:
    """The mean of what is estimated over 20,000 arrivals, after the first 2,000."""
    rate, now_s, seen = ArrivalRate(memory_s=10.0, window_s=1.0), 0.0, []
    for _ in range(20000):
        now_s += gap()
        rate.observe(now_s)
        seen.append(rate.dispersion)
    return sum(seen[2000:]) / len(seen[2000:])


def test_the_dispersion_tells_clumps_from_poisson_and_from_even_arrivals() -> None:
    random = Random(0)
    # The rate of the last 10 s is known to 1 / (2 * 10) of its variance: 5 % more than 1.
    assert _dispersion(random, lambda: random.expovariate(4.0)) == pytest.approx(1.05, abs=0.05)
    assert _dispersion(random, lambda: 0.25) < 0.1
    # Pairs: each count is twice a Poisson number, and its variance four times as large.
    pairs = iter(range(20000))
    clumps = _dispersion(random, lambda: random.expovariate(2.0) if next(pairs) % 2 else 0.0)
    assert clumps == pytest.approx(2 * 1.05, rel=0.1)


def test_before_windows_are_over_arrivals_count_as_poisson() -> None:
    rate = ArrivalRate(memory_s=10.0, window_s=1.0)
    for number in range(9):
        rate.observe(number * 1.0)
    assert rate.dispersion == 1.0


def test_a_long_silence_is_counted_once() -> None:
    rate = ArrivalRate(memory_s=10.0, window_s=1.0)
    for number in range(200):
        rate.observe(number * 0.25)
    rate.observe(1e9)
    assert 0 < rate.dispersion < 10
    assert rate.per_second(1e9) < 0.2


@pytest.mark.parametrize(("memory_s", "window_s"), [(0.0, 1.0), (1.0, 0.0), (float("inf"), 1.0)])
def test_memory_and_window_are_above_zero(memory_s: float, window_s: float) -> None:
    with pytest.raises(EvaluationError, match="number of seconds above 0"):
        ArrivalRate(memory_s, window_s)


def test_a_clock_that_goes_back_does_no_harm() -> None:
    rate = ArrivalRate(memory_s=10.0, window_s=1.0)
    for now_s in (5.0, 6.0, 2.0, 6.0):
        rate.observe(now_s)
    assert 0 < rate.per_second(1.0) < 10
