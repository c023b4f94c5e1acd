"""Far too many requests for a while."""

from dataclasses import replace
from itertools import islice
from random import Random

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.eval.load.facts import Facts
from mixdq.eval.load.run import Run
from mixdq.eval.load.sample import Sample
from mixdq.eval.load.schedule import Schedule
from mixdq.eval.load.surge import Surge, SurgeReport, judged, recovered_s

from .conftest import sample

SURGE = Surge(quiet_per_s=5.0, surge_per_s=100.0, before_s=100.0, surge_s=60.0, after_s=40.0)


def _at(intended_s: float, *, status: int = 200, late: bool = False) -> Sample:
    one = sample(intended_s=intended_s, ended_s=intended_s + 0.5, status=status)
    return replace(one, reply=replace(one.reply, late=late if status == 200 else None))


def test_the_rate_is_high_in_the_surge_and_low_around_it() -> None:
    times = [call.at_s for call in SURGE.calls(Random(0))]
    assert times == sorted(times)
    counts = [sum(start <= at_s < end for at_s in times) for start, end in ((0, 100), (100, 160), (160, 200))]
    assert counts == pytest.approx([500, 6000, 200], rel=0.15)
    assert len(times) == sum(counts)
    assert SURGE.rate_per_s == pytest.approx(6700 / 200)


def test_arrivals_depend_on_the_seed_alone() -> None:
    first, second = (list(islice(SURGE.calls(Random(3)), 50)) for _ in range(2))
    assert first == second


def test_phases_have_a_length() -> None:
    with pytest.raises(EvaluationError, match="the time of a surge is a number above 0, not 0"):
        replace(SURGE, surge_s=0.0)


def test_those_of_the_surge_are_counted_by_what_became_of_them() -> None:
    samples = (
        _at(99.0, status=429),
        _at(100.0),
        _at(101.0, late=True),
        _at(102.0, status=429),
        _at(103.0, status=503),
        _at(104.0, status=504),
        _at(105.0, status=500),
        _at(160.0),
    )
    run = Run(Schedule("surge", 1.0, 0, tuple(one.planned for one in samples)), samples, Facts(1.0))
    assert judged(run, SURGE) == {
        "surge_requests": 6,
        "surge_accepted": 4,
        "surge_done": 1,
        "surge_late": 1,
        "surge_dropped": 2,
        "after_requests": 1,
    }


def test_recovery_ends_with_the_last_request_that_was_not_done_in_time() -> None:
    before = [_at(159.0, status=429)]
    assert recovered_s([*before, _at(161.0), _at(170.0)], 160.0) == 0.0
    assert recovered_s([*before, _at(161.0, status=429), _at(162.5, late=True), _at(170.0)], 160.0) == 2.5
    assert recovered_s([*before, _at(161.0), _at(170.0, status=504)], 160.0) is None
    assert recovered_s(before, 160.0) is None


def _report(**changed: object) -> SurgeReport:
    report = SurgeReport(
        settings={},
        objective_ms=1000.0,
        surge_requests=1000,
        surge_accepted=100,
        surge_done=99,
        surge_late=1,
        surge_dropped=0,
        least_done_share=0.99,
        surge_p95_ms=950.0,
        recovered_ms=2000.0,
        after_requests=50,
        first_mib=600.0,
        peak_mib=700.0,
        last_mib=650.0,
        most_growth_mib=100.0,
        invalid=(),
        machine={},
        versions={},
    )
    return replace(report, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"surge_done": 98}, "0.9800 of those accepted in the surge were done in time, less than 0.99"),
        ({"surge_accepted": 0, "surge_done": 0}, "0.0000 of those accepted"),
        ({"recovered_ms": 2001.0}, "recovery took 2001 ms, more than 2000"),
        ({"recovered_ms": None}, "the server did not recover"),
        ({"peak_mib": 701.0}, "memory grew by 101 MiB, more than 100"),
        ({"invalid": ("late",)}, "late"),
    ],
)
def test_each_thing_that_is_not_as_it_should_be_is_said(changed: dict[str, object], said: str) -> None:
    assert list(_report().failures()) == []
    (line,) = _report(**changed).failures()
    assert said in line
