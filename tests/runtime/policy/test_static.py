"""One resolution for all, and the batches that all simple policies make."""

from mixdq.runtime.policy.points import Menu
from mixdq.runtime.policy.policy import Worker
from mixdq.runtime.policy.static import Static

from .conftest import MakeRequest, MakeSituation


def test_everyone_who_adapts_gets_it_and_a_fixed_size_stays(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    policy = Static(menu.find(768))
    fixed = make_request(allowed=(menu.find(1024),))
    smaller = make_request(allowed=menu.allowed(512, downgrade=True))
    for request, size in ((make_request(), 768), (fixed, 1024), (smaller, 512)):
        assert policy.choose(Worker(0), make_situation([request])).point.resolution == size
    assert policy.admit(make_request(0.0), 0, make_situation()) is None
    assert not policy.is_hopeless(make_request(-1.0), make_situation())


def test_its_batches_are_as_full_as_deadlines_allow(
    batched: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    policy = Static(batched.find(512))
    for first_s, count in ((0.35, 4), (0.27, 3), (0.17, 1), (0.1, 4)):
        waiting = [make_request(first_s, allowed=batched.points)]
        waiting += [make_request(2.0, allowed=batched.points) for _ in range(5)]
        chosen = policy.choose(Worker(0), make_situation(waiting))
        assert len(chosen.requests) == count
        assert chosen.typical_s == batched.find(512).typical_s[count - 1]


def test_a_change_of_resolution_is_part_of_the_time(
    menu: Menu, make_request: MakeRequest, make_situation: MakeSituation
) -> None:
    policy = Static(menu.find(512))
    situation = make_situation([make_request()], switch_s=0.05)
    assert policy.choose(Worker(0, loaded=menu.find(768)), situation).typical_s == 0.1 + 0.05
    assert policy.choose(Worker(0, loaded=menu.find(512)), situation).typical_s == 0.1
    assert policy.choose(Worker(0), situation).typical_s == 0.1
