"""A worker's place: one life after another, and what it makes now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from mixdq.configs.errors import MixdqError
from mixdq.runtime.policy.policy import Batch
from mixdq.runtime.server.supervisor import Action, Patience, Phase, Supervisor
from mixdq.runtime.work.job import Event, Job, Lost, Ready, Work

Hear = Callable[["Post", Event], None]


class Post:
    """One worker, started again after each loss.

    Attributes:
        number: from 0.
        supervisor: its phases.
        ready: what it said last when it had loaded; None before.
        failure: what kept it from getting ready, in its own words; None if nothing did.
        batch: what it makes; None if it is idle.
        job: the number of that.
        resolution: pixels of what it makes or made last; None before.
        peak_bytes: of the device's memory; None where it is not known.
    """

    __slots__ = (
        "_hear",
        "_left",
        "_open",
        "_work",
        "batch",
        "failure",
        "job",
        "number",
        "peak_bytes",
        "ready",
        "resolution",
        "supervisor",
    )

    def __init__(self, number: int, patience: Patience, open_work: Callable[[], Work], hear: Hear) -> None:
        self.number = number
        self.supervisor = Supervisor(patience)
        self.ready: Ready | None = None
        self.failure: str | None = None
        self.batch: Batch | None = None
        self.job = 0
        self.resolution: int | None = None
        self.peak_bytes: int | None = None
        self._open, self._hear = open_work, hear
        self._work: Work | None = None
        self._left: Work | None = None

    @property
    def phase(self) -> Phase:
        """What it does now."""
        return self.supervisor.phase

    @property
    def pid(self) -> int | None:
        """Of its process; None if there is none."""
        return None if self._work is None else self._work.pid

    def start(self, now_s: float) -> None:
        """Its next life begins; one that can't is lost at once."""
        self.failure, self._work = None, None
        self.supervisor.start(now_s)
        try:
            self._work = work = self._open()
            work.start(partial(self._listen, work))
        except MixdqError as error:
            self.failure = str(error)
            self._hear(self, Lost(self.failure))
        except OSError as error:
            self._hear(self, Lost(f"the system starts no process ({error.strerror})"))

    def give(
        self, batch: Batch, prompts: Sequence[str], seeds: Sequence[int], steps: int, now_s: float
    ) -> None:
        """Its next batch."""
        assert self._work is not None
        self.batch, self.job, self.resolution = batch, self.job + 1, batch.point.resolution
        self.supervisor.begin(now_s, batch.typical_s)
        self._work.submit(Job(self.job, tuple(prompts), tuple(seeds), batch.point.resolution, steps))

    def end_batch(self) -> Batch:
        """It has made its batch, or can't."""
        assert self.batch is not None
        batch, self.batch = self.batch, None
        self.supervisor.rest()
        return batch

    def act(self, now_s: float) -> bool:
        """Does what is due; whether there was anything."""
        match self.supervisor.act(now_s):
            case Action.START:
                self.start(now_s)
            case Action.KILL:
                assert self._work is not None
                self._work.kill()
            case None:
                return False
        return True

    def stop(self) -> None:
        """It is wanted no more: an idle one may end by itself, another is killed."""
        if (work := self._work) is not None:
            if self.phase is Phase.READY:
                work.stop()
            else:
                work.kill()
            self._left, self._work, self.batch = work, None, None
        self.supervisor.stop()

    async def ended(self) -> None:
        """Returns when nothing is left of it; after `stop`."""
        if self._left is not None:
            await self._left.ended()

    def _listen(self, work: Work, event: Event) -> None:
        # What one that was killed still says comes too late: its batch is made again.
        if work is self._work and (self.phase is not Phase.ENDING or isinstance(event, Lost)):
            self._hear(self, event)
