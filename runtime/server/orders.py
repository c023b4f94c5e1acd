"""What the API asks of the service, and what it gets: the seam between HTTP and the queue."""

from __future__ import annotations

from dataclasses import dataclass

from mixdq.configs.errors import MixdqError
from mixdq.runtime.policy.request import Outcome
from mixdq.runtime.work.job import Pixels


@dataclass(frozen=True, slots=True)
class Order:
    """One call of the API: pictures of one prompt, all accepted or none.

    Attributes:
        prompt: what to draw.
        seeds: one a picture.
        size: pixels of each side; None for `auto`, the only one that adapts.
        steps: denoising steps.
        objective_s: seconds from arrival to picture; None for the server's.
        priority: its class; a lower number goes first.
        downgrade: whether a smaller picture may be given than `size` says.
    """

    prompt: str
    seeds: tuple[int, ...]
    size: int | None
    steps: int = 1
    objective_s: float | None = None
    priority: int = 0
    downgrade: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was made.

    Attributes:
        pixels: `[size, size, 3]`, RGB.
        seed: that it was drawn from.
        size: pixels of each side.
        outcome: `DONE` or `LATE`.
        wait_s: seconds from arrival until its batch began.
        service_s: seconds of its batch on the worker.
        batch: pictures that were made with it, itself included.
        attempts: times that it was given to a worker.
    """

    pixels: Pixels
    seed: int
    size: int
    outcome: Outcome
    wait_s: float
    service_s: float
    batch: int
    attempts: int


class OrderError(MixdqError):
    """An order that ends without pictures."""


class NotServingError(OrderError):
    """The server loads, drains, or has no worker: 503."""


class RefusedError(OrderError):
    """The policy or the queue's bounds did not accept it: 429."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ShedError(OrderError):
    """It was accepted, and its deadline could no longer be met: 504."""


class PoisonError(OrderError):
    """It ended two workers, now or before, and is not tried again: 500."""


class UnmakeableError(OrderError):
    """The worker says that its pictures can't be made: 500."""
