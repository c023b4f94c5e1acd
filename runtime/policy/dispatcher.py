"""Queue, workers and policy together: what the server's loop and the simulator both drive.

It has no threads and no clock: every call says what the time is, on one clock that never goes back. Every
accepted request is settled once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mixdq.runtime.policy.policy import Batch, Policy, Refusal, Situation, Worker
from mixdq.runtime.policy.queue import QueueLimits, RequestQueue
from mixdq.runtime.policy.rate import ArrivalRate
from mixdq.runtime.policy.request import Outcome, Request

Settle = Callable[[Request, Outcome, float], None]
"""Is told how a request ended and when, once for each that was accepted."""

_LEARNING = 0.1
"""Weight of the last batch in a worker's pace."""
_MOST_OFF = 4.0
"""A batch that took longer than so many times what was expected, or shorter, counts as if it had not."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the requests.

    Attributes:
        arrived: all that came.
        refused: not accepted.
        outcomes: of the accepted ones that ended, how many in each way.
        waiting: in the queue.
        running: on a worker, without those whose clients went away.
    """

    arrived: int
    refused: int
    outcomes: dict[Outcome, int]
    waiting: int
    running: int

    @property
    def accepted(self) -> int:
        """All that were accepted: each ended in one way, waits or runs."""
        return sum(self.outcomes.values()) + self.waiting + self.running


class Dispatcher:
    """Carries out a policy's decisions on a queue and its workers."""

    def __init__(
        self,
        policy: Policy,
        *,
        workers: int,
        limits: QueueLimits,
        switch_s: float,
        rate: ArrivalRate,
        settle: Settle,
    ) -> None:
        """Starts empty, with idle workers.

        Args:
            policy: what decides.
            workers: how many.
            limits: of the queue.
            switch_s: what a worker loses when it changes to another resolution.
            rate: estimates how requests come; without arrivals yet.
            settle: is told how each accepted request ended.
        """
        self._policy = policy
        self._queue = RequestQueue(limits)
        self._workers = tuple(Worker(number) for number in range(workers))
        self._rate = rate
        self._settle = settle
        self._gone: set[int] = set()
        self._arrived = 0
        self._refused = 0
        self._outcomes: Counter[Outcome] = Counter()
        self._situation = Situation(0.0, self._queue.waiting, self._workers, 0.0, 1.0, 1.0, None, switch_s)

    @property
    def workers(self) -> tuple[Worker, ...]:
        """All of them; to be read only."""
        return self._workers

    @property
    def situation(self) -> Situation:
        """As of the last call; to be read only."""
        return self._situation

    @property
    def policy_name(self) -> str:
        """Of what decides."""
        return self._policy.name

    @property
    def queued_bytes(self) -> int:
        """What the waiting requests hold."""
        return self._queue.byte_count

    def idle(self) -> Worker | None:
        """A worker that can be given work."""
        for worker in self._workers:
            if worker.up and not worker.running:
                return worker
        return None

    def arrive(self, request: Request, now_s: float) -> Refusal | None:
        """Accepts a request into the queue, or says why not."""
        self._arrived += 1
        self._rate.observe(now_s)
        situation = self._look(now_s)
        queue = self._queue
        if not queue.has_room_for(request):
            refusal: Refusal | None = Refusal("the queue is full", self._drain_s(now_s))
        else:
            place = queue.place_of(request)
            refusal = self._policy.admit(request, place, situation)
            if refusal is None:
                queue.put(request, place)
                return None
        self._refused += 1
        return refusal

    def arrive_together(self, requests: Sequence[Request], now_s: float) -> Refusal | None:
        """Accepts all of them, or none and says why."""
        refusal: Refusal | None = None
        accepted: list[Request] = []
        for request in requests:
            if (refusal := self.arrive(request, now_s)) is not None:
                break
            accepted.append(request)
        if refusal is None:
            return None
        for request in accepted:
            self._queue.take(request)
        # Those behind the one that was refused have come, too.
        others = len(requests) - len(accepted) - 1
        for _ in range(others):
            self._rate.observe(now_s)
        self._arrived += others
        self._refused += len(accepted) + others
        return refusal

    def assign(self, worker: Worker, now_s: float) -> Batch | None:
        """Gives an idle worker its next batch; drops those who can no longer be served in time.

        None if no one waits.
        """
        assert worker.up, f"worker {worker.number} is lost"
        assert not worker.running, f"worker {worker.number} still has work"
        situation = self._look(now_s)
        self._drop_hopeless(situation)
        if not len(self._queue):
            return None
        batch = self._policy.choose(worker, situation)
        for request in batch.requests:
            taken = self._queue.take(request)
            assert taken, f"request {request.number} does not wait"
        if worker.loaded is not batch.point:
            worker.loaded, worker.switched_s = batch.point, now_s
        worker.running = batch.requests
        worker.free_s, worker.variance_s2 = now_s + batch.typical_s, batch.variance_s2
        worker.started_s, worker.nominal_s = now_s, batch.nominal_s
        if len(batch.requests[0].allowed) > 1:
            situation.level = batch.point
        return batch

    def finish(self, worker: Worker, now_s: float) -> None:
        """A worker's batch is made: its requests are done, or late; how long it took is learned from."""
        assert worker.running, f"worker {worker.number} has no work"
        ratio = (now_s - worker.started_s) / worker.nominal_s
        worker.pace += _LEARNING * (min(max(ratio, 1 / _MOST_OFF), _MOST_OFF) - worker.pace)
        self._situation.pace = sum(one.pace for one in self._workers) / len(self._workers)
        for request in self._release(worker, now_s):
            self._end(request, Outcome.DONE if now_s <= request.deadline_s else Outcome.LATE, now_s)

    def fail(self, worker: Worker, now_s: float) -> None:
        """A worker's batch can't be made: its requests end with an error."""
        for request in self._release(worker, now_s):
            self._end(request, Outcome.ERROR, now_s)

    def part(self, worker: Worker, now_s: float) -> tuple[Request, ...]:
        """A worker's batch can't be made, and who of it is to blame is not known: each waits again, alone.

        Returns:
            The requests as they wait now.
        """
        requests = tuple(replace(one, alone=True) for one in self._release(worker, now_s))
        for request in requests:
            self._queue.put(request)
        return requests

    def lose(self, worker: Worker, back_s: float) -> tuple[Request, ...]:
        """A worker is gone; its requests wait again, whatever the limits, each to be served alone.

        Args:
            worker: which.
            back_s: when another is expected in its place (`restore`).

        Returns:
            The requests that it had, as they wait now.
        """
        worker.up, worker.loaded = False, None
        return self.part(worker, back_s)

    def restore(self, worker: Worker, now_s: float) -> None:
        """A lost worker is back."""
        worker.up, worker.free_s = True, now_s

    def cancel(self, request: Request, now_s: float) -> bool:
        """A client went away; False if its request has ended before.

        One that runs stays on its worker, and its picture is for no one.
        """
        running = any(request in worker.running for worker in self._workers)
        if not self._queue.take(request) and (not running or request.number in self._gone):
            return False
        if running:
            self._gone.add(request.number)
        self._end(request, Outcome.CANCELLED, now_s)
        return True

    def give_up(self, request: Request, now_s: float) -> bool:
        """Ends a waiting request with an error; False if it doesn't wait."""
        if not self._queue.take(request):
            return False
        self._end(request, Outcome.ERROR, now_s)
        return True

    def expire(self, now_s: float) -> float:
        """Drops those whose deadline is past and whom the policy, or the lack of workers, leaves no hope.

        Returns:
            The next deadline among those that wait on; infinite if there is none.
        """
        situation = self._look(now_s)
        down = not any(worker.up for worker in self._workers)
        next_s = math.inf
        for request in tuple(self._queue.waiting):
            if request.deadline_s >= now_s:
                next_s = min(next_s, request.deadline_s)
            elif down or self._policy.is_hopeless(request, situation):
                self._queue.take(request)
                self._end(request, Outcome.SHED, now_s)
        return next_s

    def rate_per_s(self, now_s: float) -> float:
        """Arrivals, as estimated."""
        return self._rate.per_second(now_s)

    def tally(self) -> Tally:
        """What became of the requests so far."""
        running = sum(len(worker.running) for worker in self._workers) - len(self._gone)
        return Tally(self._arrived, self._refused, dict(self._outcomes), len(self._queue), running)

    def _look(self, now_s: float) -> Situation:
        situation = self._situation
        situation.now_s = now_s
        situation.rate_per_s = self._rate.per_second(now_s)
        situation.dispersion = self._rate.dispersion
        return situation

    def _drop_hopeless(self, situation: Situation) -> None:
        policy = self._policy
        hopeless = [one for one in self._queue.waiting if policy.is_hopeless(one, situation)]
        for request in hopeless:
            self._queue.take(request)
            self._end(request, Outcome.SHED, situation.now_s)

    def _release(self, worker: Worker, free_s: float) -> tuple[Request, ...]:
        """The requests of a worker whose clients are still there; it has none then."""
        requests = worker.running
        if self._gone:
            requests = tuple(one for one in requests if one.number not in self._gone)
            self._gone.difference_update(one.number for one in worker.running)
        worker.running = ()
        worker.free_s, worker.variance_s2 = free_s, 0.0
        return requests

    def _end(self, request: Request, outcome: Outcome, now_s: float) -> None:
        self._outcomes[outcome] += 1
        self._settle(request, outcome, now_s)

    def _drain_s(self, now_s: float) -> float:
        """Until a place in the queue gets free."""
        return max(0.0, min(worker.free_s for worker in self._workers) - now_s)
