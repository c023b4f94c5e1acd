"""The best utility at which everyone's deadline is still met, now and as far as can be expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist

from mixdq.configs.errors import EvaluationError
from mixdq.runtime.policy.forecast import count_misses, finish_times
from mixdq.runtime.policy.policy import (
    Batch,
    Refusal,
    Situation,
    Worker,
    companions,
    fullest_batch,
    make_batch,
)
from mixdq.runtime.policy.prices import Prices, Problem, solve
from mixdq.runtime.policy.request import Request

_RATE_STEP, _DISPERSION_STEP, _PACE_STEP = math.log(1.05), math.log(1.25), math.log(1.1)
"""Prices are computed for rates 5 %, dispersions 25 % and paces 10 % apart."""
# The state behind the prices counts those who wait, not how long they have waited: a little caution.
_LEAST_DISPERSED, _MOST_DISPERSED = 1.25, 5.0
_KEPT = 500
"""Prices that are kept; the oldest go first."""
_SLOWEST, _FASTEST = 0.01, 2.0
"""Rates beyond these, in requests an objective and in throughputs, are decided as these are."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """Accepts whom it can serve in time, and gives what the prices of the present rate say.

    *Admission*: a request is accepted if it, and everyone in its class or a higher one, will be served in
    time with each at the fastest point that it allows, all predictions being cautious.

    *Choice*: of the options, in the order that the prices give them (`prices.py`: utility, less the price of
    GPU time, less what the room that it takes will cost those who come), the first at which everyone who
    waits is still served in time, the others each at the fastest point that they allow.

    *Dwell*: a worker that changed its resolution changes to a slower one only after so long that changing
    costs at most `switch_share` of its time.

    Attributes:
        problem: menu, objective, workers, cost of a refusal.
        late_risk: chance that an accepted request is late, of one that is just accepted.
        switch_share: share of the time that changes of resolution may take.
    """

    problem: Problem
    late_risk: float
    switch_share: float
    _sigmas: float = field(init=False, compare=False)
    _rates: tuple[float, float] = field(init=False, compare=False)
    _prices: dict[tuple[int, int, int], Prices] = field(init=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the figures.

        Raises:
            EvaluationError: one is out of its range.
        """
        problem = self.problem
        for figure, what in (
            (problem.objective_s, "the objective is a number of seconds"),
            (problem.workers, "the number of workers is"),
            (self.switch_share, "the share of time for changes of resolution is"),
        ):
            if not 0 < figure < math.inf:
                raise EvaluationError(f"{what} above 0, not {figure:g}")
        if not 0 <= problem.refusal_cost < math.inf:
            raise EvaluationError(f"the cost of a refusal is 0 or more, not {problem.refusal_cost:g}")
        if not 0 < self.late_risk <= 0.5:
            raise EvaluationError(
                f"the risk of being late is above 0 and at most 0.5, not {self.late_risk:g}"
            )
        object.__setattr__(self, "_sigmas", NormalDist().inv_cdf(1 - self.late_risk))
        rates = (_SLOWEST / problem.objective_s, _FASTEST * problem.throughput_per_s)
        object.__setattr__(self, "_rates", rates)

    @property
    def name(self) -> str:
        """`deadline`."""
        return "deadline"

    def prices(self, rate_per_s: float, dispersion: float, pace: float) -> Prices:
        """What is best for such arrivals at such a pace; kept for the next time."""
        lowest, highest = self._rates
        # At half the pace it is as if twice as many came who have half the time.
        slow = round(math.log(pace) / _PACE_STEP) if pace != 1.0 else 0
        pace = math.exp(slow * _PACE_STEP)
        step = round(math.log(min(max(pace * rate_per_s, lowest), highest)) / _RATE_STEP)
        clumps = round(math.log(min(max(dispersion, _LEAST_DISPERSED), _MOST_DISPERSED)) / _DISPERSION_STEP)
        if (found := self._prices.get((step, clumps, slow))) is None:
            rate, ratio = math.exp(step * _RATE_STEP), math.exp(clumps * _DISPERSION_STEP)
            problem = replace(self.problem, objective_s=self.problem.objective_s / pace)
            found = self._prices[step, clumps, slow] = solve(problem, rate, ratio)
            if len(self._prices) > _KEPT:
                del self._prices[next(iter(self._prices))]
        return found

    def admit(self, request: Request, place: int, situation: Situation) -> Refusal | None:
        """Everyone who will be in time and makes no one late, lower classes aside."""
        waiting = situation.waiting
        order = list(waiting)
        order.insert(place, request)
        following = order[0].allowed[0]
        times = finish_times(order, situation.clocks(following), self._sigmas)
        excess_s = times[place] - request.deadline_s
        if excess_s > 0:
            return Refusal("its deadline can't be met with those that wait", excess_s)
        if place == len(waiting) and request.allowed[0].max_batch == 1:
            return None  # it stands behind all others and changes nothing for them
        before = finish_times(waiting, situation.clocks(following), self._sigmas)
        after = times[:place] + times[place + 1 :]
        for other, early, late in zip(waiting, before, after, strict=True):
            if other.priority <= request.priority and early <= other.deadline_s < late:
                return Refusal("it would make one late that was accepted", late - other.deadline_s)
        return None

    def is_hopeless(self, request: Request, situation: Situation) -> bool:
        """Who would more likely be late than in time if it were served at once."""
        return situation.now_s + situation.pace * request.allowed[0].typical_s[0] > request.deadline_s

    def choose(self, worker: Worker, situation: Situation) -> Batch:
        """The best option that makes no one late; if all do, one that makes the fewest late."""
        waiting = situation.waiting
        allowed = waiting[0].allowed
        loaded = worker.loaded
        dwelling = (
            loaded is not None
            and loaded in allowed
            and situation.now_s - worker.switched_s < situation.switch_s / self.switch_share
        )
        prices = self.prices(situation.rate_per_s, situation.dispersion, situation.pace)
        found: Batch | None = None
        fewest = math.inf
        for option in prices.options(len(waiting)):
            point = option.point
            if point not in allowed or (
                dwelling and loaded is not None and point.typical_s[0] > loaded.typical_s[0]
            ):
                continue
            requests = companions(point, waiting, option.count)
            if len(requests) < option.count:
                continue
            batch = make_batch(point, requests, worker, situation)
            missed = self._misses(batch, worker, situation)
            if missed < fewest:
                found, fewest = batch, missed
                if not missed:
                    break
        return found or fullest_batch(allowed[0], worker, situation)

    def _misses(self, batch: Batch, worker: Worker, situation: Situation) -> int:
        """How many of those in the batch and behind it will be late."""
        taken = batch.requests
        end_s = situation.now_s + batch.typical_s
        cautious_s = end_s + self._sigmas * math.sqrt(batch.variance_s2)
        missed = count_misses(taken, [cautious_s] * len(taken))
        if not (rest := _without(situation.waiting, taken)):
            return missed
        following = rest[0].allowed[0]
        clocks = situation.clocks(following)
        # Those behind will be served at another point: changing back is part of what this one costs.
        back_s = worker.pace * situation.switch_s if following is not batch.point else 0.0
        clocks[worker.number] = (end_s + back_s, batch.variance_s2, worker.pace)
        return missed + count_misses(rest, finish_times(rest, clocks, self._sigmas))


def _without(waiting: Sequence[Request], taken: tuple[Request, ...]) -> Sequence[Request]:
    if len(taken) == 1:
        return waiting[1:]
    return [request for request in waiting if request not in taken]
