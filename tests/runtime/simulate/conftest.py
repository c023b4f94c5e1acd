"""The service times of an earlier measurement of one GPU, and simulations of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mixdq.runtime.policy.points import Menu, make_menu, plain_points
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.simulate.simulator import Setup

MakeSetup = Callable[..., Setup]

SERVICE_S = {512: 0.1135, 768: 0.2013, 1024: 0.3492}
UTILITIES = {512: 0.7, 768: 0.85, 1024: 1.0}


@pytest.fixture
def menu() -> Menu:
    """With 5 % noise."""
    return make_menu(plain_points(SERVICE_S, UTILITIES, 0.05))


@pytest.fixture
def make_setup(menu: Menu) -> MakeSetup:
    """One GPU and an objective of a second, if not said otherwise."""

    def make(
        requests: int,
        *,
        menu: Menu = menu,
        workers: int = 1,
        objective_s: float = 1.0,
        switch_s: float = 0.0,
        slowdown: float = 1.0,
        count: int = 1000,
        seed: int = 0,
    ) -> Setup:
        limits = QueueLimits(count, 1 << 30)
        return Setup(menu, workers, objective_s, switch_s, limits, 5.0, slowdown, requests, seed)

    return make
