"""The discrete-event loop: the server's own dispatcher, driven by simulated time.

Two events exist: a request arrives, a worker's batch is made. At one instant batches end first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import cycle, islice
from random import Random

from mixdq.runtime.policy.dispatcher import Dispatcher
from mixdq.runtime.policy.points import Menu
from mixdq.runtime.policy.policy import Batch, Policy
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.policy.rate import ArrivalRate
from mixdq.runtime.policy.request import Outcome, Request
from mixdq.runtime.simulate.calls import Call, Clients, Pattern
from mixdq.runtime.simulate.record import Record

_SHORTEST = 0.1
"""A service time never falls below this share of its typical one, whatever the noise."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is simulated, beside policy and arrivals.

    Attributes:
        menu: what can be served, and how long it takes.
        workers: GPUs.
        objective_s: from arrival to picture, of requests that name none; infinite for none.
        switch_s: what a worker loses when it changes to another resolution.
        limits: of the queue.
        rate_memory_s: of the estimate of the rate.
        slowdown: how many times longer everything takes than the menu says, which no policy is told.
        requests: how many come; fewer if a trace is shorter.
        seed: of arrivals and service times, drawn apart, so that all policies meet the same arrivals.
    """

    menu: Menu
    workers: int
    objective_s: float
    switch_s: float
    limits: QueueLimits
    rate_memory_s: float
    slowdown: float
    requests: int
    seed: int


def simulate(setup: Setup, policy: Policy, pattern: Pattern | Clients, paces: Sequence[float] = ()) -> Record:
    """Runs until every request has ended.

    Args:
        setup: what is simulated.
        policy: what decides.
        pattern: how requests come.
        paces: what each batch in turn takes over what the menu says, the first again after the last; drawn
            from the menu's spreads if there are none.
    """
    run = _Run(setup, policy, paces)
    if isinstance(pattern, Clients):
        run.answer(min(pattern.concurrency, setup.requests), setup.requests)
    else:
        run.follow(pattern, setup.requests)
    record = run.record
    record.tally = run.dispatcher.tally()
    return record


class _Run:
    """One simulation under way."""

    def __init__(self, setup: Setup, policy: Policy, paces: Sequence[float]) -> None:
        self.record = Record()
        self.dispatcher = Dispatcher(
            policy,
            workers=setup.workers,
            limits=setup.limits,
            switch_s=setup.switch_s,
            rate=ArrivalRate(setup.rate_memory_s, _window_s(setup)),
            settle=self._settle,
        )
        self._setup = setup
        self._noise = Random(f"service times {setup.seed}")
        self._paces = cycle(paces) if paces else None
        self._running: list[tuple[float, int, Batch]] = []
        self._number = 0
        self._ended = 0

    def follow(self, pattern: Pattern, requests: int) -> None:
        """Arrivals that don't wait for answers."""
        running, arrive, finish = self._running, self._arrive, self._finish
        for call in islice(pattern.calls(Random(f"arrivals {self._setup.seed}")), requests):
            at_s = call.at_s
            while running and running[0][0] <= at_s:
                finish()
            arrive(call)
        while running:
            finish()

    def answer(self, clients: int, requests: int) -> None:
        """Clients that each send a request when the last one was answered."""
        for _ in range(clients):
            self._arrive(Call(0.0))
        while self._number < requests or self._running:
            now_s = self._finish() if self._running else self.record.end_s
            # An answer may be a refusal.
            while self._number < min(requests, self._ended + clients):
                self._arrive(Call(now_s))

    def _arrive(self, call: Call) -> None:
        setup, now_s = self._setup, call.at_s
        objective_s = setup.objective_s if call.objective_s is None else call.objective_s
        allowed = setup.menu.points if call.size is None else setup.menu.allowed(call.size, downgrade=False)
        request = Request(self._number, now_s, now_s + objective_s, allowed, call.priority)
        self._number += 1
        dispatcher = self.dispatcher
        if dispatcher.arrive(request, now_s) is not None:
            self._ended += 1
        elif (worker := dispatcher.idle()) is not None:
            self._start(worker.number, now_s)
        self.record.end_s = now_s

    def _finish(self) -> float:
        now_s, number, batch = heappop(self._running)
        worker = self.dispatcher.workers[number]
        self.record.count(batch, now_s)
        self.dispatcher.finish(worker, now_s)
        self._start(number, now_s)
        self.record.end_s = now_s
        return now_s

    def _start(self, number: int, now_s: float) -> None:
        worker = self.dispatcher.workers[number]
        loaded = worker.loaded
        batch = self.dispatcher.assign(worker, now_s)
        if batch is None:
            return
        took_s = self._setup.slowdown * self._nominal_s(batch)
        self.record.start(batch, now_s, took_s, switched=loaded is not None and loaded is not batch.point)
        heappush(self._running, (now_s + took_s, number, batch))

    def _nominal_s(self, batch: Batch) -> float:
        if self._paces is not None:
            return batch.nominal_s * next(self._paces)
        spread_s = math.sqrt(batch.point.variance_s2[len(batch.requests) - 1])
        return max(_SHORTEST * batch.nominal_s, batch.nominal_s + spread_s * self._noise.gauss(0.0, 1.0))

    def _settle(self, request: Request, outcome: Outcome, now_s: float) -> None:
        self._ended += 1


def _window_s(setup: Setup) -> float:
    """Arrivals are counted over the time that they may wait; without an objective it doesn't matter."""
    return setup.objective_s if math.isfinite(setup.objective_s) else 1.0
