"""What the service looks like at one moment: for the page, the metrics and the probes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mixdq.configs.bundle import Bundle
from mixdq.runtime.policy.dispatcher import Tally
from mixdq.runtime.policy.points import Menu
from mixdq.runtime.server.post import Post
from mixdq.runtime.server.supervisor import Phase


class State(StrEnum):
    """What the service does with orders."""

    LOADING = "loading"
    """Its first workers are not ready yet."""
    READY = "ready"
    """It accepts them."""
    DRAINING = "draining"
    """It finishes what it accepted, and accepts nothing."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker.

    Attributes:
        number: from 0.
        phase: what it does.
        pid: of its process; None if it has none.
        restarts: lives after the first.
        resolution: pixels of what it makes or made last; None before.
        peak_bytes: of the device's memory; None where it is not known.
        reason: why it was lost last; None if it never was.
    """

    number: int
    phase: Phase
    pid: int | None
    restarts: int
    resolution: int | None
    peak_bytes: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """All of it.

    Attributes:
        state: what it does with orders.
        workers: of the bundle that is served.
        uptime_s: since the service was made.
        queue_length: pictures that wait, whichever bundle they were accepted for.
        queue_bytes: what they hold.
        resolution: pixels of the last picture whose size was left open; None before.
        p50_s: from arrival to picture, of the last minute's; None if there are none.
        p95_s: of the same.
        objective_s: what is promised; infinite for nothing.
        rate_per_s: arrivals, as the policy estimates them.
        tally: what became of all pictures that were asked for.
        reloading: whether another bundle is being loaded.
        folder: of the bundle that is served.
        bundle: what it is; None until it was read.
        digest: SHA-256 of `bundle.json`; None until it was read.
        menu: what is served; None until the workers are ready.
        policy: what decides; None until then.
    """

    state: State
    workers: tuple[WorkerStatus, ...]
    uptime_s: float
    queue_length: int
    queue_bytes: int
    resolution: int | None
    p50_s: float | None
    p95_s: float | None
    objective_s: float
    rate_per_s: float
    tally: Tally
    reloading: bool
    folder: Path
    bundle: Bundle | None
    digest: str | None
    menu: Menu | None
    policy: str | None

    @property
    def model(self) -> str | None:
        """Name of what is served; None until the bundle was read."""
        return None if self.bundle is None else self.bundle.model.name

    @property
    def precision(self) -> str | None:
        """Its plan in words: `W8A8 (BOS-aware, split shortcuts)`; None until the bundle was read."""
        return None if self.bundle is None else self.bundle.plan_summary

    @property
    def is_ready(self) -> bool:
        """Whether an order may be accepted: a worker is there to make it."""
        up = (Phase.READY, Phase.BUSY)
        return self.state is State.READY and any(worker.phase in up for worker in self.workers)


def worker_status(post: Post) -> WorkerStatus:
    """A worker as it is now."""
    supervisor = post.supervisor
    return WorkerStatus(
        number=post.number,
        phase=supervisor.phase,
        pid=post.pid,
        restarts=supervisor.restarts,
        resolution=post.resolution,
        peak_bytes=post.peak_bytes,
        reason=supervisor.reason,
    )
