"""Who is accepted, and what the first in the queue gets."""

from dataclasses import replace

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.runtime.policy.deadline import Deadline
from mixdq.runtime.policy.points import Menu, make_menu, plain_points
from mixdq.runtime.policy.policy import Worker
from mixdq.runtime.policy.prices import Problem
from mixdq.runtime.policy.request import Request

from .conftest import MakeRequest, MakeSituation

QUIET, BUSY = 0.1, 15.0
"""Requests a second: hardly any, and more than can be served."""


def _policy(menu: Menu, workers: int = 1, *, late_risk: float = 0.5) -> Deadline:
    """With a risk of one half predictions are the expected times."""
    return Deadline(Problem(menu, 1.0, workers, 2.0), late_risk, 0.05)


def test_alone_and_in_quiet_times_a_request_gets_the_best(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    chosen = _policy(menu).choose(Worker(0), make_situation([make_request(1.0)], rate_per_s=QUIET))
    assert (chosen.point.resolution, chosen.typical_s) == (1024, 0.4)


def test_in_busy_times_it_gets_the_fastest(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    chosen = _policy(menu).choose(Worker(0), make_situation([make_request(1.0)], rate_per_s=BUSY))
    assert chosen.point.resolution == 512


@pytest.mark.parametrize(("deadline_s", "size"), [(0.45, 1024), (0.35, 768), (0.15, 512)])
def test_its_own_deadline_is_met(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation, deadline_s: float, size: int
) -> None:
    situation = make_situation([make_request(deadline_s)], rate_per_s=QUIET)
    assert _policy(menu).choose(Worker(0), situation).point.resolution == size


@pytest.mark.parametrize(("second_s", "size"), [(0.55, 1024), (0.45, 768), (0.25, 512)])
def test_the_deadline_of_one_behind_it_is_met(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation, second_s: float, size: int
) -> None:
    waiting = [make_request(0.9), make_request(second_s)]
    chosen = _policy(menu).choose(Worker(0), make_situation(waiting, rate_per_s=QUIET))
    assert chosen.point.resolution == size
    assert chosen.requests == (waiting[0],)


def test_one_behind_it_who_asked_for_the_largest_size_is_waited_for_in_full(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    waiting = [make_request(0.9), make_request(0.65, allowed=(menu.find(1024),))]
    assert _policy(menu).choose(Worker(0), make_situation(waiting)).point.resolution == 768


def test_another_worker_takes_the_one_behind_it(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    waiting = [make_request(0.9), make_request(0.25)]
    workers = (Worker(0), Worker(1, free_s=0.1))
    chosen = _policy(menu, 2).choose(workers[0], make_situation(waiting, workers=workers))
    assert chosen.point.resolution == 1024


def test_a_size_that_was_asked_for_stays(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    for size in (512, 768, 1024):
        waiting = [make_request(0.3, allowed=(menu.find(size),)), make_request(0.35)]
        for rate in (QUIET, BUSY):
            chosen = _policy(menu).choose(Worker(0), make_situation(waiting, rate_per_s=rate))
            assert chosen.point.resolution == size


def test_a_downgrade_that_is_allowed_is_made_when_needed(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    smaller = menu.allowed(768, downgrade=True)
    policy = _policy(menu)
    for deadline_s, size in ((0.9, 768), (0.15, 512)):
        situation = make_situation([make_request(deadline_s, allowed=smaller)], rate_per_s=QUIET)
        assert policy.choose(Worker(0), situation).point.resolution == size


def test_a_dominated_size_is_served_where_it_is_asked_for(
    make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    menu = make_menu(plain_points({512: 0.1, 640: 0.15}, {512: 0.7, 640: 0.6}, 0.0))
    situation = make_situation([make_request(1.0, allowed=menu.allowed(640, downgrade=False))])
    assert _policy(menu).choose(Worker(0), situation).point.resolution == 640


def test_who_is_late_anyway_does_not_slow_the_others_choice(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    hopeless = make_request(0.05, priority=1)
    chosen = _policy(menu).choose(Worker(0), make_situation([make_request(0.9), hopeless], rate_per_s=QUIET))
    assert chosen.point.resolution == 1024


def _place(request: Request, waiting: list[Request]) -> int:
    return sum(other.order < request.order for other in waiting)


@pytest.mark.parametrize(("count", "accepted"), [(9, True), (10, False)])
def test_ten_of_a_tenth_of_a_second_fit_into_one(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation, count: int, accepted: bool
) -> None:
    waiting = [make_request(1.001) for _ in range(count)]
    refusal = _policy(menu).admit(make_request(1.001), count, make_situation(waiting))
    assert (refusal is None) == accepted
    if refusal is not None:
        assert refusal.retry_after_s == pytest.approx(0.099)


def test_what_runs_counts_with_what_is_left_of_it(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    worker = Worker(0, running=(make_request(),), free_s=0.75)
    for now_s, accepted in ((0.0, False), (0.5, True)):
        situation = make_situation([], workers=[worker], now_s=now_s)
        assert (_policy(menu).admit(make_request(now_s + 0.8), 0, situation) is None) == accepted


def test_one_who_would_make_another_late_is_refused(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    waiting = [make_request(0.15), make_request(0.25)]
    urgent = make_request(0.2)
    refusal = _policy(menu).admit(urgent, _place(urgent, waiting), make_situation(waiting))
    assert refusal is not None
    assert "make one late" in refusal.reason


def test_a_higher_class_goes_before_a_lower_one(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    waiting = [make_request(0.15, priority=1)]
    policy = _policy(menu)
    assert policy.admit(make_request(0.2, priority=0), 0, make_situation(waiting)) is None
    assert policy.admit(make_request(0.12, priority=1), 0, make_situation(waiting)) is not None


def test_noise_makes_it_cautious(make_request: MakeRequest, make_situation: MakeSituation) -> None:
    menu = make_menu(plain_points({512: 0.1}, {512: 1.0}, 0.1))
    waiting = [make_request(1.0, allowed=menu.points) for _ in range(3)]
    last = make_request(0.44, allowed=menu.points)
    # Four take 0.4 s with a standard deviation of 0.02: one in a thousand takes more than 0.4618 s.
    assert _policy(menu, late_risk=0.5).admit(last, 3, make_situation(waiting)) is None
    assert _policy(menu, late_risk=0.001).admit(last, 3, make_situation(waiting)) is not None
    patient = make_request(0.462, allowed=menu.points)
    assert _policy(menu, late_risk=0.001).admit(patient, 3, make_situation(waiting)) is None


def test_who_can_not_be_in_time_is_hopeless(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    policy, situation = _policy(menu), make_situation(now_s=1.0)
    assert policy.is_hopeless(make_request(1.09), situation)
    assert not policy.is_hopeless(make_request(1.11), situation)
    assert policy.is_hopeless(make_request(1.39, allowed=(menu.find(1024),)), situation)


def test_a_change_of_resolution_waits_until_the_last_one_paid(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    # Changing takes 10 ms and may take 5 % of the time: 200 ms pass before a slower point again.
    worker = Worker(0, loaded=menu.find(512), switched_s=0.0)
    for now_s, size in ((0.19, 512), (0.21, 1024)):
        situation = make_situation(
            [make_request(5.0)], workers=[worker], rate_per_s=QUIET, switch_s=0.01, now_s=now_s
        )
        chosen = _policy(menu).choose(worker, situation)
        assert chosen.point.resolution == size
    assert chosen.typical_s == pytest.approx(0.41)


def test_a_faster_point_never_waits(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    worker = Worker(0, loaded=menu.find(1024), switched_s=0.0)
    situation = make_situation([make_request(0.35)], workers=[worker], switch_s=0.01, now_s=0.1)
    assert _policy(menu).choose(worker, situation).point.resolution == 768


def test_a_fixed_size_does_not_wait_for_the_dwell(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    worker = Worker(0, loaded=menu.find(512), switched_s=0.0)
    fixed = make_request(5.0, allowed=(menu.find(1024),))
    situation = make_situation([fixed], workers=[worker], switch_s=0.01, now_s=0.1)
    assert _policy(menu).choose(worker, situation).point.resolution == 1024


def test_who_must_change_anyway_changes_to_the_best(
    make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    times, utilities = {512: 0.1, 640: 0.15, 1024: 0.4}, {512: 0.7, 640: 0.6, 1024: 1.0}
    menu = make_menu(plain_points(times, utilities, 0.0))
    worker = Worker(0, loaded=menu.find(640), switched_s=0.0)
    waiting = [make_request(5.0, allowed=menu.points)]
    situation = make_situation(waiting, workers=[worker], switch_s=0.01, now_s=0.1)
    assert _policy(menu).choose(worker, situation).point.resolution == 1024


@pytest.mark.parametrize(("second_s", "size"), [(0.57, 1024), (0.53, 768)])
def test_changing_back_for_the_one_behind_it_counts(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation, second_s: float, size: int
) -> None:
    # 0.4 s for the one, 0.05 s to change, 0.1 s for the other.
    worker = Worker(0, loaded=menu.find(1024))
    waiting = [make_request(0.9), make_request(second_s, allowed=(menu.find(512),))]
    situation = make_situation(waiting, workers=[worker], switch_s=0.05)
    assert _policy(menu).choose(worker, situation).point.resolution == size


@pytest.mark.parametrize(("loaded", "accepted"), [(512, True), (1024, False)])
def test_a_change_that_comes_first_counts_at_admission(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation, loaded: int, accepted: bool
) -> None:
    situation = make_situation([], workers=[Worker(0, loaded=menu.find(loaded))], switch_s=0.05)
    assert (_policy(menu).admit(make_request(0.12), 0, situation) is None) == accepted


def test_a_slow_worker_is_given_less(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    for pace, size in ((1.0, 1024), (2.0, 768), (4.0, 512)):
        worker = Worker(0, pace=pace)
        waiting = [make_request(0.5)]
        chosen = _policy(menu).choose(worker, make_situation(waiting, workers=[worker], pace=pace))
        assert chosen.point.resolution == size
        assert chosen.typical_s == pytest.approx(pace * chosen.nominal_s)
    situation = make_situation([], workers=[Worker(0, pace=4.0)], pace=4.0)
    assert _policy(menu).admit(make_request(0.39), 0, situation) is not None
    assert _policy(menu).admit(make_request(0.41), 0, situation) is None
    assert _policy(menu).is_hopeless(make_request(0.39), situation)


def test_a_slow_machine_is_one_to_which_more_come(menu: Menu) -> None:
    policy = _policy(menu)
    fast, slow = (
        [policy.prices(4.0, 1.0, pace).options(waiting)[0].point.resolution for waiting in range(1, 6)]
        for pace in (1.0, 2.0)
    )
    assert all(left >= right for left, right in zip(fast, slow, strict=True))
    assert fast != slow


def test_a_batch_grows_only_as_far_as_deadlines_allow(
    batched: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    policy = _policy(batched)
    for first_s, most in ((0.35, 4), (0.27, 3), (0.22, 2), (0.17, 1)):
        waiting = [make_request(first_s, allowed=batched.points)]
        waiting += [make_request(2.0, allowed=batched.points) for _ in range(5)]
        chosen = policy.choose(Worker(0), make_situation(waiting, rate_per_s=BUSY))
        assert (chosen.point.resolution, len(chosen.requests)) == (512, most)


def test_a_batch_holds_only_who_may_have_its_resolution(
    batched: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    first, second = (make_request(3.0, allowed=batched.points) for _ in range(2))
    fixed = make_request(3.0, allowed=(batched.find(1024),))
    small = make_request(3.0, allowed=(batched.find(512),))
    chosen = _policy(batched).choose(
        Worker(0), make_situation([small, fixed, first, second], rate_per_s=BUSY)
    )
    assert chosen.requests == (small, first, second)


def test_one_that_is_served_alone_is_in_no_batch(
    batched: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    first, second = (make_request(3.0, allowed=batched.points) for _ in range(2))
    alone = replace(make_request(3.0, allowed=batched.points), alone=True)
    policy = _policy(batched)
    chosen = policy.choose(Worker(0), make_situation([first, alone, second], rate_per_s=BUSY))
    assert chosen.requests == (first, second)
    chosen = policy.choose(Worker(0), make_situation([alone, first, second], rate_per_s=BUSY))
    assert chosen.requests == (alone,)


def test_the_same_situation_gets_the_same_answer(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    waiting = [make_request(0.7), make_request(0.8)]
    policy = _policy(menu)
    answers = {policy.choose(Worker(0), make_situation(waiting, rate_per_s=5.0)) for _ in range(3)}
    policy.choose(Worker(0), make_situation(waiting[1:], rate_per_s=1.0))
    answers.add(policy.choose(Worker(0), make_situation(waiting, rate_per_s=5.0)))
    answers.add(_policy(menu).choose(Worker(0), make_situation(waiting, rate_per_s=5.0)))
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("problem", "late_risk", "share", "message"),
    [
        ((0.0, 1, 2.0), 0.1, 0.1, "objective"),
        ((1.0, 0, 2.0), 0.1, 0.1, "number of workers"),
        ((1.0, 1, -1.0), 0.1, 0.1, "cost of a refusal"),
        ((1.0, 1, 2.0), 0.0, 0.1, "risk of being late"),
        ((1.0, 1, 2.0), 0.6, 0.1, "risk of being late"),
        ((1.0, 1, 2.0), 0.1, 0.0, "changes of resolution"),
    ],
)
def test_impossible_figures_are_refused(
    menu: Menu, problem: tuple[float, int, float], late_risk: float, share: float, message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        Deadline(Problem(menu, *problem), late_risk, share)
