"""Patterns of arrivals."""

from itertools import islice, pairwise
from random import Random

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.runtime.simulate.calls import Clients, Gamma, Pattern, Peaks, Poisson


def _times(pattern: Pattern, count: int) -> list[float]:
    return [call.at_s for call in islice(pattern.calls(Random(0)), count)]


def _variation(times: list[float]) -> float:
    gaps = [after - before for before, after in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    return float((sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5 / mean)


@pytest.mark.parametrize(
    "pattern", [Poisson(4.0), Gamma(4.0, 2.0), Gamma(4.0, 0.5), Peaks(4.0, 3.0, 0.2, 1.0)]
)
def test_the_mean_rate_is_the_one_that_was_asked_for(pattern: Pattern) -> None:
    times = _times(pattern, 40000)
    assert times == sorted(times)
    assert 40000 / times[-1] == pytest.approx(4.0, rel=0.05)


def test_gaps_vary_as_they_should() -> None:
    assert _variation(_times(Poisson(4.0), 40000)) == pytest.approx(1.0, rel=0.05)
    assert _variation(_times(Gamma(4.0, 2.0), 40000)) == pytest.approx(2.0, rel=0.05)
    assert _variation(_times(Gamma(4.0, 0.5), 40000)) == pytest.approx(0.5, rel=0.05)


def test_peaks_are_as_high_and_as_frequent_as_they_should() -> None:
    # Peaks of 100 s on average at 12 a second, in a tenth of the time; otherwise 4 (1 - 0.3) / 0.9 a second.
    times = _times(Peaks(4.0, 3.0, 0.1, 100.0), 200000)
    counts = [0] * (int(times[-1] // 10) + 1)
    for time in times:
        counts[int(time // 10)] += 1
    peaks = [count for count in counts if count > 75]
    quiet = [count for count in counts if count <= 75]
    assert len(peaks) / len(counts) == pytest.approx(0.1, abs=0.03)
    assert sum(peaks) / len(peaks) == pytest.approx(120, rel=0.05)
    assert sum(quiet) / len(quiet) == pytest.approx(31.1, rel=0.05)


def test_all_requests_may_come_in_peaks() -> None:
    times = _times(Peaks(4.0, 5.0, 0.2, 1.0), 20000)
    assert 20000 / times[-1] == pytest.approx(4.0, rel=0.1)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_above_zero(rate: float) -> None:
    for make in (Poisson, lambda rate: Gamma(rate, 2.0), lambda rate: Peaks(rate, 2.0, 0.1, 1.0)):
        with pytest.raises(EvaluationError, match="the rate of arrivals is a number above 0"):
            make(rate)


@pytest.mark.parametrize(("height", "share"), [(0.5, 0.1), (11.0, 0.1), (2.0, 0.0), (1.0, 1.0)])
def test_impossible_peaks_are_refused(height: float, share: float) -> None:
    with pytest.raises(EvaluationError, match="peaks take a share"):
        Peaks(4.0, height, share, 1.0)


def test_a_burst_needs_a_client() -> None:
    with pytest.raises(EvaluationError, match="number of clients"):
        Clients(0)
