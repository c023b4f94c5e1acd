"""Every accepted request ends once, whatever happens."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from mixdq.runtime.policy.deadline import Deadline
from mixdq.runtime.policy.dispatcher import Dispatcher
from mixdq.runtime.policy.forecast import finish_times
from mixdq.runtime.policy.points import Menu
from mixdq.runtime.policy.policy import Policy
from mixdq.runtime.policy.prices import Problem
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.policy.rate import ArrivalRate
from mixdq.runtime.policy.request import Outcome, Request
from mixdq.runtime.policy.static import Static
from mixdq.runtime.policy.thresholds import Thresholds

from .conftest import MakeRequest

_WIDE = QueueLimits(100, 1 << 20)


class _Ended:
    """What was settled."""

    def __init__(self) -> None:
        self.outcomes: dict[int, list[Outcome]] = {}

    def __call__(self, request: Request, outcome: Outcome, now_s: float) -> None:
        self.outcomes.setdefault(request.number, []).append(outcome)


def _dispatcher(policy: Policy, ended: _Ended, workers: int = 1, limits: QueueLimits = _WIDE) -> Dispatcher:
    rate = ArrivalRate(memory_s=10.0, window_s=1.0)
    return Dispatcher(policy, workers=workers, limits=limits, switch_s=0.0, rate=rate, settle=ended)


def test_a_request_is_done_or_late_by_its_deadline(menu: Menu, make_request: MakeRequest) -> None:
    ended = _Ended()
    dispatcher = _dispatcher(Static(menu.find(512)), ended)
    (worker,) = dispatcher.workers
    for deadline_s, now_s in ((0.1, 0.1), (0.1, 0.11)):
        assert dispatcher.arrive(make_request(deadline_s), 0.0) is None
        assert dispatcher.assign(worker, 0.0) is not None
        dispatcher.finish(worker, now_s)
    assert ended.outcomes == {0: [Outcome.DONE], 1: [Outcome.LATE]}


def test_a_full_queue_is_an_answer(menu: Menu, make_request: MakeRequest) -> None:
    dispatcher = _dispatcher(Static(menu.find(512)), _Ended(), limits=QueueLimits(1, 10))
    assert dispatcher.arrive(make_request(byte_count=11), 0.0) is not None
    assert dispatcher.arrive(make_request(byte_count=10), 0.0) is None
    dispatcher.assign(dispatcher.workers[0], 0.0)
    assert dispatcher.arrive(make_request(byte_count=10), 0.02) is None
    refusal = dispatcher.arrive(make_request(), 0.02)
    assert refusal is not None
    assert refusal.reason == "the queue is full"
    assert refusal.retry_after_s == pytest.approx(0.08)
    assert dispatcher.tally().refused == 2


def test_who_can_no_longer_be_in_time_is_shed_before_it_is_served(
    menu: Menu, make_request: MakeRequest
) -> None:
    ended = _Ended()
    dispatcher = _dispatcher(Deadline(Problem(menu, 1.0, 1, 2.0), 0.001, 0.05), ended)
    first, second = make_request(1.0), make_request(1.0)
    dispatcher.arrive(first, 0.0)
    dispatcher.arrive(second, 0.0)
    batch = dispatcher.assign(dispatcher.workers[0], 0.0)
    assert batch is not None
    assert batch.requests == (first,)
    dispatcher.finish(dispatcher.workers[0], 0.95)  # far longer than expected
    assert dispatcher.assign(dispatcher.workers[0], 0.95) is None
    assert ended.outcomes == {0: [Outcome.DONE], 1: [Outcome.SHED]}


def test_a_client_that_goes_away_ends_its_request_queued_or_running(
    menu: Menu, make_request: MakeRequest
) -> None:
    ended = _Ended()
    dispatcher = _dispatcher(Static(menu.find(512)), ended)
    running, queued = make_request(1.0), make_request(1.0)
    dispatcher.arrive(running, 0.0)
    dispatcher.arrive(queued, 0.0)
    dispatcher.assign(dispatcher.workers[0], 0.0)
    assert dispatcher.cancel(running, 0.05)
    assert dispatcher.cancel(queued, 0.05)
    assert not dispatcher.cancel(running, 0.06)
    assert not dispatcher.cancel(queued, 0.06)
    assert dispatcher.idle() is None  # the picture that no one wants is still being made
    dispatcher.finish(dispatcher.workers[0], 0.1)
    assert dispatcher.idle() is dispatcher.workers[0]
    assert ended.outcomes == {0: [Outcome.CANCELLED], 1: [Outcome.CANCELLED]}
    assert dispatcher.tally().running == 0


def test_the_batch_of_a_lost_worker_waits_again_and_goes_first(menu: Menu, make_request: MakeRequest) -> None:
    ended = _Ended()
    dispatcher = _dispatcher(Static(menu.find(512)), ended, limits=QueueLimits(1, 100))
    lost, later = make_request(1.0), make_request(1.0)
    dispatcher.arrive(lost, 0.0)
    worker = dispatcher.workers[0]
    dispatcher.assign(worker, 0.0)
    dispatcher.arrive(later, 0.01)
    (again,) = dispatcher.lose(worker, back_s=0.5)
    assert (again.number, again.alone) == (lost.number, True)
    assert dispatcher.idle() is None
    assert dispatcher.tally().waiting == 2
    dispatcher.restore(worker, 0.4)
    batch = dispatcher.assign(worker, 0.4)
    assert batch is not None
    assert batch.requests == (again,)
    dispatcher.fail(worker, 0.5)
    assert dispatcher.give_up(later, 0.5)
    assert not dispatcher.give_up(later, 0.5)
    assert ended.outcomes == {0: [Outcome.ERROR], 1: [Outcome.ERROR]}


def test_requests_that_arrive_together_are_all_accepted_or_none(
    menu: Menu, make_request: MakeRequest
) -> None:
    ended = _Ended()
    dispatcher = _dispatcher(Static(menu.find(512)), ended, limits=QueueLimits(3, 100))
    refusal = dispatcher.arrive_together([make_request() for _ in range(5)], 0.0)
    assert refusal is not None
    tally = dispatcher.tally()
    assert (tally.arrived, tally.refused, tally.waiting, dispatcher.queued_bytes) == (5, 5, 0, 0)
    requests = [make_request() for _ in range(3)]
    assert dispatcher.arrive_together(requests, 0.0) is None
    assert list(dispatcher.situation.waiting) == requests
    assert ended.outcomes == {}


def test_who_was_in_a_batch_that_went_wrong_is_served_alone(batched: Menu, make_request: MakeRequest) -> None:
    for policy in (Static(batched.find(512)), Thresholds(batched.points, (1,), 1)):
        dispatcher = _dispatcher(policy, _Ended())
        (worker,) = dispatcher.workers
        for _ in range(3):
            dispatcher.arrive(make_request(allowed=batched.points), 0.0)
        first = dispatcher.assign(worker, 0.0)
        assert first is not None
        assert len(first.requests) == 3
        again = dispatcher.part(worker, 0.1)
        others = [make_request(allowed=batched.points) for _ in range(3)]
        assert dispatcher.arrive_together(others, 0.1) is None
        batches = []
        while (batch := dispatcher.assign(worker, 0.1)) is not None:
            batches.append(batch.requests)
            dispatcher.finish(worker, 0.1)
        assert batches == [*((one,) for one in again), tuple(others)]


def test_those_that_are_served_alone_are_reckoned_with_so(batched: Menu, make_request: MakeRequest) -> None:
    allowed = (batched.find(512),)
    together = [make_request(9.0, allowed=allowed) for _ in range(3)]
    first, *others = (replace(one, alone=True) for one in together)
    assert finish_times(together, [(0.0, 0.0, 1.0)], 0.0) == pytest.approx([0.25] * 3)
    assert finish_times([first, *others], [(0.0, 0.0, 1.0)], 0.0) == pytest.approx([0.15, 0.3, 0.45])
    mixed = [together[0], first, together[1]]
    assert finish_times(mixed, [(0.0, 0.0, 1.0)], 0.0) == pytest.approx([0.15, 0.3, 0.45])


def test_deadlines_that_pass_end_whom_the_policy_gives_up(menu: Menu, make_request: MakeRequest) -> None:
    ended = _Ended()
    dispatcher = _dispatcher(Deadline(Problem(menu, 1.0, 1, 2.0), 0.001, 0.05), ended)
    for deadline_s in (1.0, 0.5, 1.5):
        dispatcher.arrive(make_request(deadline_s), 0.0)
    assert dispatcher.expire(0.5) == 0.5
    assert dispatcher.expire(0.51) == 1.0
    assert ended.outcomes == {1: [Outcome.SHED]}
    assert dispatcher.expire(2.0) == float("inf")
    assert ended.outcomes == {number: [Outcome.SHED] for number in (0, 1, 2)}


def test_a_policy_that_serves_the_late_is_let_as_long_as_there_is_a_worker(
    menu: Menu, make_request: MakeRequest
) -> None:
    ended = _Ended()
    dispatcher = _dispatcher(Static(menu.find(512)), ended)
    dispatcher.arrive(make_request(1.0), 0.0)
    assert dispatcher.expire(2.0) == float("inf")
    assert ended.outcomes == {}
    dispatcher.lose(dispatcher.workers[0], 3.0)
    dispatcher.expire(2.0)
    assert ended.outcomes == {0: [Outcome.SHED]}


def test_a_lost_worker_is_reckoned_with_when_it_is_expected_back(
    menu: Menu, make_request: MakeRequest
) -> None:
    dispatcher = _dispatcher(Deadline(Problem(menu, 1.0, 1, 2.0), 0.001, 0.05), _Ended())
    dispatcher.lose(dispatcher.workers[0], back_s=5.0)
    assert dispatcher.arrive(make_request(1.0), 0.0) is not None
    assert dispatcher.arrive(make_request(5.2), 0.1) is None


def test_the_last_resolution_that_adapted_is_remembered(menu: Menu, make_request: MakeRequest) -> None:
    dispatcher = _dispatcher(Thresholds(menu.points, (1, 3), 1), _Ended())
    (worker,) = dispatcher.workers
    sizes = []
    for arriving in (3, 1, 0, 0, 1):
        for _ in range(arriving):
            dispatcher.arrive(make_request(), 0.0)
        if len(dispatcher.situation.waiting) == 1:
            dispatcher.arrive(make_request(0.5, allowed=(menu.find(512),)), 0.0)  # sets no level
        batch = dispatcher.assign(worker, 0.0)
        assert batch is not None
        sizes.append(batch.point.resolution)
        dispatcher.finish(worker, 0.1)
    # Behind the one that is served wait 2, 2, 1 and, with the fixed one first, 1 and 1.
    assert sizes == [768, 768, 768, 512, 768]


def test_policies_are_told_how_requests_come(menu: Menu, make_request: MakeRequest) -> None:
    dispatcher = _dispatcher(Static(menu.find(512)), _Ended(), limits=QueueLimits(1, 1))
    for number in range(400):
        for _ in range(5):
            dispatcher.arrive(make_request(), 2.0 * number)
    assert dispatcher.situation.rate_per_s == pytest.approx(2.5, rel=0.2)
    assert dispatcher.situation.dispersion > 2


def test_a_worker_that_takes_twice_as_long_is_learned(menu: Menu, make_request: MakeRequest) -> None:
    dispatcher = _dispatcher(Static(menu.find(512)), _Ended(), workers=2)
    slow, fast = dispatcher.workers
    for number in range(60):
        for worker, took_s in ((slow, 0.2), (fast, 0.1)):
            dispatcher.arrive(make_request(), float(number))
            batch = dispatcher.assign(worker, float(number))
            assert batch is not None
            assert batch.nominal_s == 0.1
            dispatcher.finish(worker, number + took_s)
    assert (slow.pace, fast.pace) == pytest.approx((2.0, 1.0), rel=0.01)
    assert dispatcher.situation.pace == pytest.approx(1.5, rel=0.01)


def test_one_long_stop_teaches_little(menu: Menu, make_request: MakeRequest) -> None:
    dispatcher = _dispatcher(Static(menu.find(512)), _Ended())
    (worker,) = dispatcher.workers
    dispatcher.arrive(make_request(), 0.0)
    dispatcher.assign(worker, 0.0)
    dispatcher.finish(worker, 1000.0)
    assert worker.pace == pytest.approx(1.3)


def _policies(menu: Menu, workers: int) -> list[Policy]:
    return [
        Static(menu.points[0]),
        Thresholds(menu.points, tuple(range(1, len(menu.points))), 1),
        Deadline(Problem(menu, 1.0, workers, 2.0), 0.01, 0.05),
    ]


@pytest.mark.parametrize("seed", range(30))
def test_any_operations_end_every_accepted_request_once(seed: int, menu: Menu, batched: Menu) -> None:
    random = Random(seed)
    served = random.choice((menu, batched))
    workers = random.randint(1, 3)
    policy = random.choice(_policies(served, workers))
    ended, limits = _Ended(), QueueLimits(random.randint(1, 20), 2000)
    dispatcher = _dispatcher(policy, ended, workers, limits)
    accepted: list[Request] = []
    arrived, now_s = 0, 0.0

    def check() -> None:
        tally = dispatcher.tally()
        assert tally.arrived == arrived
        assert tally.accepted == len(accepted) == tally.arrived - tally.refused
        assert tally.outcomes == Counter(one for outcomes in ended.outcomes.values() for one in outcomes)
        assert all(len(outcomes) == 1 for outcomes in ended.outcomes.values())
        assert tally.waiting <= limits.count + workers * served.points[0].max_batch
        assert min(tally.waiting, tally.running, dispatcher.queued_bytes) >= 0

    for _ in range(400):
        now_s += random.expovariate(20.0)
        worker = random.choice(dispatcher.workers)
        match random.choice(
            (
                "arrive",
                "arrive",
                "together",
                "assign",
                "assign",
                "end",
                "end",
                "part",
                "cancel",
                "worker",
                "expire",
            )
        ):
            case "arrive":
                size = random.choice((None, None, 512, 1024))
                allowed = served.allowed(size, downgrade=random.random() < 0.5)
                due_s = now_s + random.choice((0.05, 0.5, 1.0, float("inf")))
                request = Request(arrived, now_s, due_s, allowed, random.randrange(2), random.randrange(400))
                arrived += 1
                if dispatcher.arrive(request, now_s) is None:
                    accepted.append(request)
            case "together":
                requests = [
                    Request(arrived + place, now_s, now_s + 1.0, served.points, 0, random.randrange(400))
                    for place in range(random.randint(1, 4))
                ]
                arrived += len(requests)
                if dispatcher.arrive_together(requests, now_s) is None:
                    accepted += requests
            case "expire":
                assert dispatcher.expire(now_s) >= now_s
            case "part" if worker.running:
                again = {one.number: one for one in dispatcher.part(worker, now_s)}
                accepted = [again.get(one.number, one) for one in accepted]
            case "assign" if worker.up and not worker.running:
                if (batch := dispatcher.assign(worker, now_s)) is not None:
                    assert len(batch.requests) <= batch.point.max_batch
                    assert all(batch.point in request.allowed for request in batch.requests)
            case "end" if worker.running:
                random.choice((dispatcher.finish, dispatcher.finish, dispatcher.fail))(worker, now_s)
            case "cancel" if accepted:
                request = random.choice(accepted)
                over = request.number in ended.outcomes
                assert dispatcher.cancel(request, now_s) is not over
            case "worker" if worker.up:
                again = {one.number: one for one in dispatcher.lose(worker, now_s + 0.5)}
                accepted = [again.get(one.number, one) for one in accepted]
            case "worker":
                dispatcher.restore(worker, now_s)
        check()

    for worker in dispatcher.workers:
        if not worker.up:
            dispatcher.restore(worker, now_s)
        if worker.running:
            dispatcher.finish(worker, now_s)
        while dispatcher.assign(worker, now_s) is not None:
            dispatcher.finish(worker, now_s)
    check()
    assert dispatcher.tally().waiting == dispatcher.tally().running == dispatcher.queued_bytes == 0
    assert set(ended.outcomes) == {request.number for request in accepted}
