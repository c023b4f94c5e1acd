"""`GET /status`: what the page shows."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from mixdq.runtime.policy.request import Outcome, Request
from mixdq.runtime.server.errors import documented
from mixdq.runtime.server.glance import Glance
from mixdq.runtime.server.settings import HttpSettings

if TYPE_CHECKING:
    from mixdq.runtime.server.status import Status, WorkerStatus
    from mixdq.runtime.server.supervisor import Phase

_MEMORY_S = 60.0
_MOST = 100_000


class QueueBody(BaseModel):
    """What waits."""

    length: int = Field(description="Pictures.")
    bytes: int = Field(description="That they hold.")


class RecentBody(BaseModel):
    """The last minute's pictures."""

    count: int
    p50_ms: float | None = Field(description="From arrival to picture; null if there is none.")
    p95_ms: float | None
    sizes: dict[int, int] = Field(description="How many of each size.")


class CountsBody(BaseModel):
    """Pictures since the start, by what became of them; each ends in one way."""

    arrived: int
    accepted: int
    refused: int
    waiting: int
    running: int
    done: int
    late: int
    shed: int
    cancelled: int
    error: int


class WorkerBody(BaseModel):
    """One worker."""

    number: int
    state: str
    pid: int | None
    restarts: int
    size: int | None = Field(description="Pixels of what it makes, or made last.")
    peak_bytes: int | None
    reason: str | None = Field(description="Why it was lost last.")


class StatusBody(BaseModel):
    """The server at one moment."""

    state: str
    reloading: bool
    auth: bool = Field(description="Whether a key is needed.")
    model: str | None
    precision: str | None = Field(description="The plan in words.")
    target: str
    policy: str | None
    bundle_digest: str | None = Field(description="SHA-256 of bundle.json.")
    uptime_s: float
    objective_ms: float
    sizes: list[int] = Field(description="That may be asked for, pixels.")
    service_ms: dict[int, float] = Field(description="Of one picture alone, as the policy expects it.")
    utilities: dict[int, float]
    size_in_use: int | None = Field(description="Pixels of the last picture whose size was left open.")
    rate_per_s: float = Field(description="Pictures that are asked for, as the policy estimates it.")
    queue: QueueBody
    recent: RecentBody
    counts: CountsBody
    workers: list[WorkerBody]


class RecentSizes:
    """Sizes of the pictures made in the last minute; an observer of the service."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque(maxlen=_MOST)

    def counts(self) -> dict[int, int]:
        """How many of each."""
        while self._seen and self._seen[0][0] < self._clock() - _MEMORY_S:
            self._seen.popleft()
        return dict(sorted(Counter(size for _, size in self._seen).items()))

    def arrived(self, count: int) -> None:
        """Of no interest here."""

    def refused(self, reason: str, count: int) -> None:
        """Of no interest here."""

    def settled(
        self,
        request: Request,
        outcome: Outcome,
        wait_s: float,
        service_s: float | None,
        resolution: int | None,
    ) -> None:
        """Remembers a picture that was made for someone."""
        if outcome in (Outcome.DONE, Outcome.LATE) and resolution is not None:
            self._seen.append((self._clock(), resolution))

    def batch(self, resolution: int, size: int, service_s: float) -> None:
        """Of no interest here."""

    def worker_changed(self, number: int, phase: Phase, reason: str | None) -> None:
        """Of no interest here."""


def status_router(glance: Glance, recent: RecentSizes, settings: HttpSettings) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.get("/status", response_model=StatusBody, responses=documented(401), tags=["operation"])
    async def status() -> Response:
        """The server at this moment."""
        body = status_body(glance.look(), recent.counts(), settings)
        return Response(body.model_dump_json(), media_type="application/json")

    return router


def status_body(status: Status, sizes: dict[int, int], settings: HttpSettings) -> StatusBody:
    """A status as JSON has it."""
    tally, bundle, menu = status.tally, status.bundle, status.menu
    points = [] if menu is None else [menu.find(resolution) for resolution in menu.resolutions]
    return StatusBody(
        state="no worker" if status.state == "ready" and not status.is_ready else status.state,
        reloading=status.reloading,
        auth=bool(settings.keys),
        model=None if bundle is None else bundle.model.name,
        precision=None if bundle is None else bundle.plan_summary,
        target=settings.target,
        policy=status.policy,
        bundle_digest=status.digest,
        uptime_s=round(status.uptime_s, 3),
        objective_ms=1e3 * status.objective_s,
        sizes=[point.resolution for point in points],
        service_ms={point.resolution: round(1e3 * point.typical_s[0], 3) for point in points},
        utilities={point.resolution: point.utility for point in points} if settings.has_utilities else {},
        size_in_use=status.resolution,
        rate_per_s=round(status.rate_per_s, 3),
        queue=QueueBody(length=status.queue_length, bytes=status.queue_bytes),
        recent=RecentBody(
            count=sum(sizes.values()), p50_ms=_ms(status.p50_s), p95_ms=_ms(status.p95_s), sizes=sizes
        ),
        counts=CountsBody(
            arrived=tally.arrived,
            accepted=tally.accepted,
            refused=tally.refused,
            waiting=tally.waiting,
            running=tally.running,
            **{outcome.value: tally.outcomes.get(outcome, 0) for outcome in Outcome},
        ),
        workers=[_worker(worker) for worker in status.workers],
    )


def _worker(worker: WorkerStatus) -> WorkerBody:
    return WorkerBody(
        number=worker.number,
        state=worker.phase,
        pid=worker.pid,
        restarts=worker.restarts,
        size=worker.resolution,
        peak_bytes=worker.peak_bytes,
        reason=worker.reason,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None or math.isnan(seconds) else round(1e3 * seconds, 3)
