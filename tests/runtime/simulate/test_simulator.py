"""The loop of events, against theory and by hand."""

import math

import pytest

from mixdq.runtime.policy.points import Point, make_menu, plain_points
from mixdq.runtime.policy.request import Outcome
from mixdq.runtime.policy.static import Static
from mixdq.runtime.simulate.calls import Call, Clients, Poisson
from mixdq.runtime.simulate.simulator import simulate
from mixdq.runtime.simulate.trace import Trace

from .conftest import MakeSetup

EXACT = make_menu(plain_points({512: 0.1}, {512: 0.7}, 0.0))


def _trace(*at_s: float) -> Trace:
    return Trace("by hand", tuple(Call(one) for one in at_s))


@pytest.mark.parametrize(("load", "requests"), [(0.3, 20000), (0.6, 30000), (0.8, 60000)])
def test_the_mean_wait_is_that_of_a_queue_with_fixed_service_times(
    make_setup: MakeSetup, load: float, requests: int
) -> None:
    # M/D/1: rho s / (2 (1 - rho)).
    setup = make_setup(requests, menu=EXACT, objective_s=math.inf, count=10**9)
    record = simulate(setup, Static(EXACT.points[0]), Poisson(load / 0.1))
    assert record.wait_s / requests == pytest.approx(load * 0.1 / (2 * (1 - load)), rel=0.05)
    assert record.busy_s / record.end_s == pytest.approx(load, rel=0.02)


def test_two_workers_wait_as_in_a_queue_with_two_servers(make_setup: MakeSetup) -> None:
    # M/M/2: s rho² / (1 - rho²). With fixed service times a little more than half of it (Cosmetatos, 1975).
    setup = make_setup(40000, menu=EXACT, workers=2, objective_s=math.inf, count=10**9)
    record = simulate(setup, Static(EXACT.points[0]), Poisson(14.0))
    rho = 0.7
    exponential = 0.1 * rho**2 / (1 - rho**2)
    cosmetatos = 0.5 * (1 + (1 - rho) * (2 - 1) * (math.sqrt(4 + 5 * 2) - 2) / (16 * rho * 2))
    assert record.wait_s / 40000 == pytest.approx(cosmetatos * exponential, rel=0.05)


def test_three_at_once_are_served_one_after_the_other(make_setup: MakeSetup) -> None:
    setup = make_setup(9, menu=EXACT, objective_s=0.25)
    record = simulate(setup, Static(EXACT.points[0]), _trace(0.0, 0.0, 0.0, 1.0))
    assert list(record.latency_s) == pytest.approx([0.1, 0.2, 0.3, 0.1])
    assert record.tally.outcomes == {Outcome.DONE: 3, Outcome.LATE: 1}
    assert (record.end_s, record.busy_s) == pytest.approx((1.1, 0.4))
    assert record.utility == pytest.approx(4 * 0.7)
    assert record.utility_in_time == pytest.approx(3 * 0.7)


def test_a_worker_that_gets_free_takes_a_batch(make_setup: MakeSetup) -> None:
    menu = make_menu([Point(512, 0.7, (0.1, 0.15, 0.2), (0.0,) * 3)])
    record = simulate(make_setup(9, menu=menu), Static(menu.points[0]), _trace(0.0, 0.0, 0.0, 0.0, 0.0))
    assert list(record.latency_s) == pytest.approx([0.1, 0.3, 0.3, 0.3, 0.4])
    assert record.batches == 3


def test_a_change_of_resolution_takes_its_time(make_setup: MakeSetup) -> None:
    menu = make_menu(plain_points({512: 0.1, 768: 0.2}, {512: 0.7, 768: 1.0}, 0.0))
    trace = Trace("by hand", (Call(0.0), Call(1.0, size=768), Call(2.0, size=768), Call(3.0)))
    record = simulate(make_setup(9, menu=menu, switch_s=0.05), Static(menu.points[0]), trace)
    assert list(record.latency_s) == pytest.approx([0.1, 0.25, 0.2, 0.15])
    assert record.switches == 2
    assert record.by_resolution == {512: 2, 768: 2}


def test_a_trace_says_objective_and_class_of_its_requests(make_setup: MakeSetup) -> None:
    calls = (Call(0.0), Call(0.01, objective_s=9.0), Call(0.02, priority=-1, objective_s=0.1), Call(0.03))
    record = simulate(make_setup(9, menu=EXACT), Static(EXACT.points[0]), Trace("by hand", calls))
    assert list(record.latency_s) == pytest.approx([0.1, 0.18, 0.27, 0.39])
    assert record.tally.outcomes == {Outcome.DONE: 3, Outcome.LATE: 1}


def test_clients_send_their_next_request_when_the_last_one_was_answered(make_setup: MakeSetup) -> None:
    record = simulate(make_setup(100, menu=EXACT), Static(EXACT.points[0]), Clients(2))
    assert record.tally.arrived == 100
    assert list(record.latency_s) == pytest.approx([0.1] + [0.2] * 99)
    assert record.end_s == pytest.approx(10.0)


def test_clients_that_are_refused_go_on(make_setup: MakeSetup) -> None:
    record = simulate(make_setup(100, menu=EXACT, count=1), Static(EXACT.points[0]), Clients(5))
    assert record.tally.arrived == 100
    assert record.tally.refused + len(record.latency_s) == 100
    assert record.tally.refused > 10


def test_noise_has_the_spread_of_the_point(make_setup: MakeSetup) -> None:
    menu = make_menu(plain_points({512: 0.1}, {512: 0.7}, 0.2))
    record = simulate(make_setup(4000, menu=menu), Static(menu.points[0]), Clients(1))
    mean = sum(record.latency_s) / 4000
    deviation = math.sqrt(sum((one - mean) ** 2 for one in record.latency_s) / 4000)
    assert (mean, deviation) == pytest.approx((0.1, 0.02), rel=0.05)
    assert min(record.latency_s) > 0
