"""A run that the simulator itself made up: what was replayed is what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.configs.latency_table import LatencyRow, LatencyTable
from mixdq.eval.load.facts import Facts
from mixdq.eval.load.replay import Rules, replay
from mixdq.eval.load.replay_report import Figures, ReplayReport, ReplayRow
from mixdq.eval.load.run import Run
from mixdq.eval.load.sample import Reply, Sample
from mixdq.eval.load.schedule import Schedule, Wish, make_schedule
from mixdq.runtime.simulate.calls import Poisson

SERVICE_S = 0.1


def _row(resolution: int, seconds: float) -> LatencyRow:
    time_us = 1e6 * seconds
    return LatencyRow(
        name="picture",
        kind="stage",
        precision="W8A8",
        plan_digest="0" * 64,
        target="cpu",
        device="cpu",
        resolution=resolution,
        batch=1,
        median_us=time_us,
        lower_quartile_us=time_us,
        upper_quartile_us=time_us,
        p95_us=time_us,
        runs=40,
        processes=1,
        lowest_process_us=time_us,
        highest_process_us=time_us,
        source="build/bundle",
        model="tiny",
        steps=1,
        clock="wall",
        run_digest="1" * 64,
    )


TABLE = LatencyTable((_row(512, SERVICE_S), _row(1024, 2 * SERVICE_S)), {}, {})
RULES = Rules("static:512", 1.0, {512: 0.7, 1024: 1.0}, TABLE)


def _served_in_turn(schedule: Schedule, seconds: float) -> Run:
    """What one worker makes of a schedule, each picture taking the same time (Lindley's recursion)."""
    samples, free_s = [], 0.0
    for planned in schedule.planned:
        began_s = max(free_s, planned.at_s)
        free_s = began_s + seconds
        latency_s = free_s - planned.at_s
        reply = Reply(free_s, 200, "", 512, began_s - planned.at_s, seconds, 1, latency_s > 1.0)
        samples.append(Sample(planned, planned.at_s, planned.at_s, free_s + 0.02, reply))
    return Run(schedule, tuple(samples), Facts(1.0))


def test_a_server_that_does_what_the_simulator_does_has_its_figures() -> None:
    schedule = make_schedule(Poisson(9.0), 300, 0, Wish(("red apple",), None, None))
    row = replay(_served_in_turn(schedule, SERVICE_S), RULES)
    assert row.differences(row.server) == pytest.approx(
        {"p50_ms": 0.0, "p95_ms": 0.0, "in_time_share": 0.0}, abs=1e-9
    )
    assert (row.pace, row.load) == pytest.approx((1.0, 0.9))
    assert row.client.p50_ms == pytest.approx((row.server.p50_ms or 0.0) + 20.0)
    assert row.simulated.resolution_shares == {512: 1.0}


def test_what_the_pictures_really_took_is_what_is_simulated() -> None:
    schedule = make_schedule(Poisson(6.0), 300, 0, Wish(("red apple",), None, None))
    slow = _served_in_turn(schedule, 1.3 * SERVICE_S)
    row = replay(slow, RULES)
    assert row.pace == pytest.approx(1.3)
    assert row.server.p95_ms == pytest.approx(row.simulated.p95_ms)
    assert row.server.p95_ms != pytest.approx(
        replay(_served_in_turn(schedule, SERVICE_S), RULES).server.p95_ms
    )


def test_each_picture_takes_what_it_took() -> None:
    """One that takes ten times as long as the others holds up those behind it, as on the server."""
    schedule = make_schedule(Poisson(5.0), 100, 0, Wish(("red apple",), None, None))
    samples, free_s = [], 0.0
    for number, planned in enumerate(schedule.planned):
        took_s = SERVICE_S * (10 if number == 40 else 1)
        began_s = max(free_s, planned.at_s)
        free_s = began_s + took_s
        reply = Reply(free_s, 200, "", 512, began_s - planned.at_s, took_s, 1, free_s - planned.at_s > 1.0)
        samples.append(Sample(planned, planned.at_s, planned.at_s, free_s, reply))
    row = replay(Run(schedule, tuple(samples), Facts(1.0)), RULES)
    assert row.server.p95_ms == pytest.approx(row.simulated.p95_ms)
    assert row.server.in_time_share == row.simulated.in_time_share < 1.0


def test_clients_that_wait_are_simulated_as_such() -> None:
    schedule = make_schedule(Poisson(1.0), 20, 0, Wish(("red apple",), None, None))
    alone = replace(schedule, name="burst 1", rate_per_s=0.0, clients=1)
    samples = []
    for number, planned in enumerate(alone.planned):
        sent_s = SERVICE_S * number
        reply = Reply(sent_s + SERVICE_S, 200, "", 512, 0.0, SERVICE_S, 1, False)
        samples.append(Sample(planned, sent_s, sent_s, sent_s + SERVICE_S, reply))
    row = replay(Run(alone, tuple(samples), Facts(1.0)), RULES)
    assert (row.simulated.p50_ms, row.simulated.p95_ms) == pytest.approx((100.0, 100.0))
    assert (row.simulated.in_time_share, row.simulated.resolution_shares) == (1.0, {512: 1.0})


def test_capacity_is_that_of_the_fastest_resolution_that_the_policy_may_choose() -> None:
    assert replace(RULES, policy="deadline").capacity_per_s == pytest.approx(10.0)
    assert replace(RULES, policy="static:1024").capacity_per_s == pytest.approx(5.0)
    with pytest.raises(EvaluationError, match="is no policy"):
        _ = replace(RULES, policy="best").capacity_per_s


def _report(server: Figures) -> ReplayReport:
    simulated = Figures(100.0, 200.0, 0.9, {512: 1.0})
    row = ReplayRow("poisson 9/s", 0.9, 300, server, server, simulated, 1.0, 2.0)
    return ReplayReport({}, (row,), 0.05, (), {}, {})


def test_figures_that_are_too_far_apart_are_named() -> None:
    assert _report(Figures(104.9, 190.1, 0.9, {})).passed
    far = _report(Figures(94.0, 200.0, 0.96, {}))
    assert not far.passed
    assert list(far.far()) == [
        "poisson 9/s: p50_ms is -6.0 % from the simulated one, more than 5 %",
        "poisson 9/s: in_time_share is +6.7 % from the simulated one, more than 5 %",
    ]
    assert not _report(Figures(None, 200.0, 0.9, {})).passed
    assert not replace(_report(Figures(100.0, 200.0, 0.9, {})), invalid=("the client was late",)).passed
