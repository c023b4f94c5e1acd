"""What a policy is: pure decisions over what waits and what runs, at a time that is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mixdq.runtime.policy.forecast import Clock
from mixdq.runtime.policy.points import Point
from mixdq.runtime.policy.request import Request


@dataclass(slots=True)
class Worker:
    """One GPU's worker, as policies see it; to be read only by them.

    Attributes:
        number: from 0.
        loaded: the point that it served last; None before its first batch.
        switched_s: when it changed to it.
        running: what it makes now; empty if it is idle.
        free_s: when it is expected to be free: that is done, or it is back after it was lost.
        variance_s2: of that time.
        up: whether it can be given work.
        pace: how long its batches took lately, over what the menu says.
        started_s: when it began with what it makes.
        nominal_s: how long that takes at a pace of 1.
    """

    number: int
    loaded: Point | None = None
    switched_s: float = float("-inf")
    running: tuple[Request, ...] = ()
    free_s: float = 0.0
    variance_s2: float = 0.0
    up: bool = True
    pace: float = 1.0
    started_s: float = 0.0
    nominal_s: float = 0.0


@dataclass(slots=True)
class Situation:
    """All that a decision depends on; to be read only by policies.

    Attributes:
        now_s: the time.
        waiting: in the order in which they are served.
        workers: all of them.
        rate_per_s: arrivals, as estimated.
        pace: mean of the workers'.
        dispersion: variance of their counts over the mean, as estimated; 1 for Poisson arrivals.
        level: the point of the last request that adapted; None before.
        switch_s: what a worker loses when it changes to another resolution.
    """

    now_s: float
    waiting: Sequence[Request]
    workers: Sequence[Worker]
    rate_per_s: float
    dispersion: float
    pace: float
    level: Point | None
    switch_s: float

    def clocks(self, following: Point) -> list[Clock]:
        """When each worker is expected to be free for a point."""
        now_s = self.now_s
        found = [
            (worker.free_s, worker.variance_s2, worker.pace)
            if worker.free_s > now_s
            else (now_s, 0.0, worker.pace)
            for worker in self.workers
        ]
        if self.switch_s:
            for worker in self.workers:
                if worker.loaded is not None and worker.loaded is not following:
                    free_s, variance_s2, pace = found[worker.number]
                    found[worker.number] = (free_s + pace * self.switch_s, variance_s2, pace)
        return found


@dataclass(frozen=True, slots=True)
class Batch:
    """What a worker is given.

    Attributes:
        point: at which resolution.
        requests: together in one run, in the queue's order.
        typical_s: how long it is expected to take, a change of resolution included.
        variance_s2: of that time.
        nominal_s: how long it would take at a pace of 1.
    """

    point: Point
    requests: tuple[Request, ...]
    typical_s: float
    variance_s2: float
    nominal_s: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not accepted.

    Attributes:
        reason: in words.
        retry_after_s: when another try may be accepted.
    """

    reason: str
    retry_after_s: float


class Policy(Protocol):
    """Decides who is accepted, and what is served next at which resolution."""

    @property
    def name(self) -> str:
        """As tables call it."""

    def admit(self, request: Request, place: int, situation: Situation) -> Refusal | None:
        """None to accept a request that would stand at `place` of the queue."""

    def is_hopeless(self, request: Request, situation: Situation) -> bool:
        """Whether a waiting request is to be dropped."""

    def choose(self, worker: Worker, situation: Situation) -> Batch:
        """What an idle worker does next; something waits."""


def make_batch(point: Point, requests: tuple[Request, ...], worker: Worker, situation: Situation) -> Batch:
    """A batch with its expected time."""
    last = len(requests) - 1
    switching = worker.loaded is not None and worker.loaded is not point
    typical_s = point.typical_s[last] + (situation.switch_s if switching else 0.0)
    pace = worker.pace
    return Batch(point, requests, pace * typical_s, pace * pace * point.variance_s2[last], typical_s)


def companions(point: Point, waiting: Sequence[Request], limit: int) -> tuple[Request, ...]:
    """The first one that waits, and those after it that may be served with it at that point."""
    if limit == 1 or waiting[0].alone:
        return (waiting[0],)
    found: list[Request] = []
    for request in waiting:
        if point in request.allowed and not request.alone:
            found.append(request)
            if len(found) == limit:
                break
    return tuple(found)


def fullest_batch(point: Point, worker: Worker, situation: Situation) -> Batch:
    """The largest batch with the first one that waits in which no one is made late by the others.

    Who would be late alone, too, doesn't count.
    """
    requests = companions(point, situation.waiting, min(point.max_batch, len(situation.waiting)))
    alone_s = situation.now_s + make_batch(point, requests[:1], worker, situation).typical_s
    for count in range(len(requests), 1, -1):
        batch = make_batch(point, requests[:count], worker, situation)
        end_s = situation.now_s + batch.typical_s
        if all(one.deadline_s >= end_s or one.deadline_s < alone_s for one in batch.requests):
            return batch
    return make_batch(point, requests[:1], worker, situation)
