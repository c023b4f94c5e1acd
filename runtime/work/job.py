"""What a server and its workers say to each other: frozen values, pickled over a pipe of one machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""A picture, `[height, width, 3]`, RGB."""


@dataclass(frozen=True, slots=True)
class Job:
    """One batch: pictures of one resolution, made together.

    Attributes:
        number: of its own within a worker's life.
        prompts: one a picture.
        seeds: one a picture.
        resolution: pixels of each side.
        steps: denoising steps.
    """

    number: int
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    resolution: int
    steps: int


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker holds its engines, has made a picture of every resolution, and can be given jobs.

    Attributes:
        service_s: seconds of warm batches by resolution and by the pictures in them, several of each.
        peak_bytes: of the device's memory so far; None where it is not known.
    """

    service_s: dict[int, dict[int, tuple[float, ...]]]
    peak_bytes: int | None


@dataclass(frozen=True, slots=True)
class Made:
    """A job's pictures.

    Attributes:
        number: the job's.
        pictures: in the job's order.
        service_s: seconds that the worker took.
        peak_bytes: of the device's memory so far; None where it is not known.
    """

    number: int
    pictures: tuple[Pixels, ...]
    service_s: float
    peak_bytes: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    """A job that can't be made; the worker goes on.

    Attributes:
        number: the job's; None if the worker could not get ready.
        message: why, for people.
    """

    number: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker's process is gone.

    Attributes:
        reason: its exit code or signal, or that it hung; for people.
    """

    reason: str


Event: TypeAlias = Ready | Made | Failed | Lost


class Work(Protocol):
    """One life of a worker, as the service sees it.

    Methods return at once and are called from the loop's thread.
    """

    @property
    def pid(self) -> int | None:
        """Of its process; None before it starts, and without one of its own."""

    def start(self, listen: Callable[[Event], None]) -> None:
        """Begins to load. `listen` is called in the loop's thread; after `Lost` nothing more comes."""

    def submit(self, job: Job) -> None:
        """Gives it its next job; it has none."""

    def kill(self) -> None:
        """Ends it at once; `Lost` follows."""

    def stop(self) -> None:
        """Lets it end by itself; nothing is heard of it any more."""

    async def ended(self) -> None:
        """Returns when nothing of it is left, after `kill` or `stop`."""
