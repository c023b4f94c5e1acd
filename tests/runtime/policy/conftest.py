"""Three resolutions of round times, and requests and situations made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import pytest

from mixdq.runtime.policy.points import Menu, Point, make_menu, plain_points
from mixdq.runtime.policy.policy import Situation, Worker
from mixdq.runtime.policy.request import Request

MakeRequest = Callable[..., Request]
MakeSituation = Callable[..., Situation]


@pytest.fixture
def menu() -> Menu:
    """0.1, 0.2 and 0.4 s, without spread."""
    return make_menu(plain_points({512: 0.1, 768: 0.2, 1024: 0.4}, {512: 0.7, 768: 0.85, 1024: 1.0}, 0.0))


@pytest.fixture
def batched() -> Menu:
    """Up to 4 pictures at once, in 0.1 + 0.05 n and 0.3 + 0.1 n seconds."""
    return make_menu(
        [
            Point(512, 0.7, (0.15, 0.2, 0.25, 0.3), (0.0,) * 4),
            Point(1024, 1.0, (0.4, 0.5, 0.6, 0.7), (0.0,) * 4),
        ]
    )


@pytest.fixture
def make_request(menu: Menu) -> MakeRequest:
    """A request of the next number; of any size and without a deadline if not said otherwise."""
    numbers = count()

    def make(
        deadline_s: float = float("inf"),
        *,
        arrival_s: float = 0.0,
        allowed: tuple[Point, ...] = menu.points,
        priority: int = 0,
        byte_count: int = 0,
    ) -> Request:
        return Request(next(numbers), arrival_s, deadline_s, allowed, priority, byte_count)

    return make


@pytest.fixture
def make_situation() -> MakeSituation:
    """What a policy sees at time 0."""

    def make(
        waiting: Sequence[Request] = (),
        *,
        workers: Sequence[Worker] | None = None,
        rate_per_s: float = 0.1,
        dispersion: float = 1.0,
        pace: float = 1.0,
        level: Point | None = None,
        switch_s: float = 0.0,
        now_s: float = 0.0,
    ) -> Situation:
        return Situation(
            now_s, waiting, workers or (Worker(0),), rate_per_s, dispersion, pace, level, switch_s
        )

    return make
