"""A worker without engines: grey pictures after a set time, to measure what a server itself takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from mixdq.runtime.work.job import Event, Job, Made, Pixels, Ready

_GREY = 128
_LEAST_S = 1e-4
"""What it says that a picture takes which it gives at once: a menu's times are above 0."""


class NullWork:
    """Gives pictures in the server's own process."""

    def __init__(self, resolutions: Sequence[int], pause_s: float = 0.0) -> None:
        """Starts nothing.

        Args:
            resolutions: pixels of each side.
            pause_s: until a batch's pictures are there, at any resolution.
        """
        self._resolutions, self._pause_s = tuple(resolutions), pause_s
        self._pictures: dict[int, Pixels] = {}
        self._listen: Callable[[Event], None] | None = None

    @property
    def pid(self) -> None:
        """It has no process of its own."""
        return None

    def start(self, listen: Callable[[Event], None]) -> None:
        """Is ready at once."""
        self._listen = listen
        self._loop = asyncio.get_running_loop()
        self._pictures = {side: _grey(side) for side in self._resolutions}
        least_s = max(self._pause_s, _LEAST_S)
        self._loop.call_soon(self._say, Ready({side: {1: (least_s,)} for side in self._resolutions}, None))

    def submit(self, job: Job) -> None:
        """One grey picture serves all."""
        pictures = (self._pictures[job.resolution],) * len(job.prompts)
        made = Made(job.number, pictures, self._pause_s, None)
        if self._pause_s:
            self._loop.call_later(self._pause_s, self._say, made)
        else:
            self._loop.call_soon(self._say, made)

    def kill(self) -> None:
        """It never hangs, so no one asks for it."""
        self.stop()

    def stop(self) -> None:
        """Says nothing any more."""
        self._listen = None

    async def ended(self) -> None:
        """It holds nothing."""

    def _say(self, event: Event) -> None:
        if self._listen is not None:
            self._listen(event)


def _grey(side: int) -> Pixels:
    picture = np.full((side, side, 3), _GREY, dtype=np.uint8)
    picture.flags.writeable = False
    return picture
