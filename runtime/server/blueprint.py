"""How a generation is made of a bundle's folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.bundle import Bundle
from mixdq.runtime.policy.points import Menu
from mixdq.runtime.policy.policy import Policy
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.server.supervisor import Patience
from mixdq.runtime.work.job import Ready, Work


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What stays the same when another bundle is loaded.

    Attributes:
        work: one life of a worker of a folder, by its number.
        menu: what is served, from what the workers measured while they got ready.
        policy: what decides over it.
        workers: how many.
        objective_s: from arrival to picture, of orders that name none; infinite for none.
        steps: denoising steps of every picture: the menu's times are for them.
        limits: of the queue.
        switch_s: what a worker loses when it changes to another resolution.
        rate_memory_s: of the estimate of the arrivals' rate.
        patience: with the workers.
    """

    work: Callable[[Path, int], Work]
    menu: Callable[[Bundle, Sequence[Ready]], Menu]
    policy: Callable[[Menu], Policy]
    workers: int
    objective_s: float
    steps: int
    limits: QueueLimits
    switch_s: float
    rate_memory_s: float
    patience: Patience
