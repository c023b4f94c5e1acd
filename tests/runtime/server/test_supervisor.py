"""When a worker is given up, and when another one is started."""

from __future__ import annotations

import math

from mixdq.runtime.server.supervisor import Action, Patience, Phase, Supervisor

_PATIENCE = Patience(
    loading_s=30.0,
    hang_floor_s=5.0,
    hang_factor=10.0,
    first_rest_s=1.0,
    longest_rest_s=5.0,
    well_s=60.0,
)


def test_each_loss_doubles_the_rest_up_to_the_longest() -> None:
    supervisor = Supervisor(_PATIENCE)
    rests = []
    for _ in range(5):
        supervisor.start(0.0)
        supervisor.lose(0.0, "gone")
        rests.append(supervisor.due_s)
    assert rests == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_life_that_lasts_forgets_the_losses_before_it() -> None:
    for lived_s, rest_s in ((59.0, 4.0), (60.0, 1.0)):
        supervisor = Supervisor(_PATIENCE)
        for _ in range(2):
            supervisor.start(0.0)
            supervisor.lose(0.0, "gone")
        supervisor.start(0.0)
        supervisor.ready(10.0)
        supervisor.lose(10.0 + lived_s, "gone")
        assert supervisor.due_s == 10.0 + lived_s + rest_s


def test_a_long_load_is_no_life() -> None:
    supervisor = Supervisor(_PATIENCE)
    for rest_s in (1.0, 2.0):
        supervisor.start(0.0)
        supervisor.lose(1000.0, "gone")
        assert supervisor.due_s == 1000.0 + rest_s


def test_it_is_expected_back_after_rest_and_loading() -> None:
    supervisor = Supervisor(_PATIENCE)
    supervisor.start(0.0)
    supervisor.ready(7.0)
    assert supervisor.lose(20.0, "gone") == 20.0 + 1.0 + 7.0


def test_a_start_is_due_once() -> None:
    supervisor = Supervisor(_PATIENCE)
    supervisor.start(0.0)
    supervisor.lose(0.0, "gone")
    assert [supervisor.act(now_s) for now_s in (0.9, 1.0, 1.1)] == [None, Action.START, None]
    assert supervisor.restarts == 0
    supervisor.start(1.1)
    assert (supervisor.phase, supervisor.restarts) == (Phase.LOADING, 1)


def test_a_hang_is_what_takes_far_longer_than_expected() -> None:
    for expected_s, limit_s in ((0.1, 5.0), (2.0, 20.0)):
        supervisor = Supervisor(_PATIENCE)
        supervisor.start(0.0)
        supervisor.ready(0.0)
        supervisor.begin(100.0, expected_s)
        assert supervisor.act(100.0 + limit_s - 0.01) is None
        assert supervisor.act(100.0 + limit_s) is Action.KILL
        assert (supervisor.phase, supervisor.due_s) == (Phase.ENDING, math.inf)
        supervisor.lose(130.0, "its process was ended by SIGKILL")
        assert supervisor.reason == "it hung: its batch took far longer than expected"


def test_an_idle_worker_is_left_alone() -> None:
    supervisor = Supervisor(_PATIENCE)
    supervisor.start(0.0)
    supervisor.ready(1.0)
    supervisor.begin(2.0, 0.1)
    supervisor.rest()
    assert supervisor.act(1e9) is None
    supervisor.stop()
    assert supervisor.act(1e9) is None
