"""Order and bounds of the queue."""

from random import Random

from mixdq.runtime.policy.queue import QueueLimits, RequestQueue
from mixdq.runtime.policy.request import Request

from .conftest import MakeRequest

WIDE = QueueLimits(1000, 1 << 30)


def test_the_earliest_deadline_is_first_within_its_class(make_request: MakeRequest) -> None:
    queue = RequestQueue(WIDE)
    late, early, low, tie = (
        make_request(2.0),
        make_request(1.0),
        make_request(0.5, priority=1),
        make_request(2.0),
    )
    for request in (late, low, early, tie):
        queue.put(request)
    assert list(queue.waiting) == [early, late, tie, low]
    assert queue.place_of(make_request(1.5)) == 1
    assert queue.place_of(make_request(9.0)) == 3
    assert queue.place_of(make_request(9.0, priority=2)) == 4


def test_it_is_bounded_in_count_and_in_bytes(make_request: MakeRequest) -> None:
    queue = RequestQueue(QueueLimits(2, 100))
    assert queue.has_room_for(make_request(byte_count=100))
    assert not queue.has_room_for(make_request(byte_count=101))
    queue.put(make_request(byte_count=60))
    assert queue.has_room_for(make_request(byte_count=40))
    assert not queue.has_room_for(make_request(byte_count=41))
    queue.put(make_request())
    assert not queue.has_room_for(make_request())


def test_what_was_taken_is_gone_and_its_bytes_free(make_request: MakeRequest) -> None:
    queue = RequestQueue(WIDE)
    one, other = make_request(1.0, byte_count=5), make_request(1.0, byte_count=7)
    queue.put(one)
    assert not queue.take(other)
    queue.put(other)
    assert queue.take(one)
    assert not queue.take(one)
    assert list(queue.waiting) == [other]
    assert queue.byte_count == 7


def test_any_order_of_puts_and_takes_leaves_it_sorted(make_request: MakeRequest) -> None:
    random = Random(0)
    queue = RequestQueue(WIDE)
    model: list[Request] = []
    for _ in range(500):
        if model and random.random() < 0.4:
            gone = random.choice(model)
            model.remove(gone)
            assert queue.take(gone)
        else:
            request = make_request(random.choice((1.0, 2.0, 3.0)), priority=random.randrange(3), byte_count=3)
            model.append(request)
            queue.put(request)
        assert list(queue.waiting) == sorted(model, key=lambda one: one.order)
        assert queue.byte_count == 3 * len(model)
