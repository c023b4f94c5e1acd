"""What a place in the queue is worth at a rate of arrivals: a Markov decision problem, solved exactly.

Its state is the number n of requests that wait when a worker gets free, 0 to `capacity`: as many as can wait
and all still be served in time at the fastest point. An action serves b of them at one point in s seconds and
earns b times its utility; meanwhile requests arrive, their number negative binomial with the mean and the
dispersion (variance over mean; 1 is Poisson) that were seen, and each beyond the capacity costs
`refusal_cost`. The long-run mean gain g a second and the relative values h(n) follow from Howard's policy
iteration (R. A. Howard, Dynamic Programming and Markov Processes, 1960; semi-Markov form):

    h(n) = max over actions of  b u - cost E[refused] - g s + E[h(n')]      h(0) = h(1) - g / rate

The bracket ranks the actions in every state. Its terms are what a policy must weigh: the utility at hand, the
price g of GPU time, and the reserve for those who will come. Several workers count as one that is as many
times as fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixdq.runtime.policy.points import Menu, Point

_MOST_STATES = 100
_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Option:
    """So many pictures together at one point."""

    point: Point
    count: int


@dataclass(frozen=True, slots=True)
class Prices:
    """What to do at one rate of arrivals.

    Attributes:
        gain_per_s: utility a second, refusals subtracted, of who acts so.
        ranking: for n = 0, 1, … waiting requests the options, best first; for more the last of them.
    """

    gain_per_s: float
    ranking: tuple[tuple[Option, ...], ...]

    def options(self, waiting: int) -> tuple[Option, ...]:
        """Best first."""
        return self.ranking[min(waiting, len(self.ranking) - 1)]


@dataclass(frozen=True, slots=True)
class Problem:
    """What prices depend on beside the rate.

    Attributes:
        menu: what can be served.
        objective_s: how long a request may usually take, from its arrival on.
        workers: how many.
        refusal_cost: of one request that is refused or shed, in utilities.
    """

    menu: Menu
    objective_s: float
    workers: int
    refusal_cost: float

    @property
    def throughput_per_s(self) -> float:
        """Pictures a second of all workers at the fastest point, in its best batch."""
        fastest = self.menu.points[0]
        return self.workers * max(count / seconds for count, seconds in enumerate(fastest.typical_s, start=1))

    @property
    def capacity(self) -> int:
        """How many may wait and still be served in time: 1 to 100; more are decided as 100 are."""
        return min(_MOST_STATES, max(1, math.floor(self.objective_s * self.throughput_per_s)))


def solve(problem: Problem, rate_per_s: float, dispersion: float) -> Prices:
    """The prices at a rate above 0 and a dispersion of at least 1."""
    options = [
        Option(point, count) for point in problem.menu.points for count in range(1, point.max_batch + 1)
    ]
    capacity = problem.capacity
    legs = [_leg(problem, option, rate_per_s, dispersion) for option in options]
    chosen = np.zeros(capacity + 1, dtype=np.intp)
    for _ in range(_ROUNDS):
        gain, values = _evaluate(legs, chosen, rate_per_s)
        scores = np.stack([leg.reward - gain * leg.seconds + leg.moves @ values for leg in legs])
        some = slice(1, None)  # with none waiting there is nothing to choose
        held = np.take_along_axis(scores[:, some], chosen[None, some], axis=0)[0]
        # An equal score is no reason to change: the iteration would not end.
        better = scores[:, some].max(axis=0) > held + 1e-9 * (1 + np.abs(held))
        if not better.any():
            break
        chosen[some] = np.where(better, scores[:, some].argmax(axis=0), chosen[some])
    ranking = tuple(_ranked(options, scores[:, waiting]) for waiting in range(capacity + 1))
    return Prices(float(gain), ranking)


@dataclass(frozen=True, slots=True)
class _Leg:
    """One option in all states: n = 0 is never used; where it is not possible its reward is -inf.

    Attributes:
        reward: [states], utility less the expected cost of refusals.
        seconds: how long it takes, with all workers at work.
        moves: [states, states], chance of each next state.
    """

    reward: npt.NDArray[np.float64]
    seconds: float
    moves: npt.NDArray[np.float64]


def _leg(problem: Problem, option: Option, rate_per_s: float, dispersion: float) -> _Leg:
    capacity, count = problem.capacity, option.count
    alone_s = option.point.typical_s[count - 1]
    seconds = alone_s / problem.workers
    mean = rate_per_s * seconds
    chances = _chances(mean, dispersion, capacity)
    left = np.arange(capacity + 1) - count
    # From `left` to n' in n' - left arrivals; all beyond the capacity end there.
    arrivals = np.arange(capacity + 1)[None, :] - left[:, None]
    moves = np.where((arrivals >= 0) & (arrivals <= capacity), chances[arrivals.clip(0, capacity)], 0.0)
    moves[:, capacity] = np.maximum(0.0, 1.0 - moves[:, :capacity].sum(axis=1))
    # E[refused] with room for k: the mean for 0, and P[more than k] less for each further place.
    more = 1.0 - np.cumsum(chances)
    refused = np.maximum(0.0, mean - np.concatenate(([0.0], np.cumsum(more))))
    reward = (
        count * option.point.utility - problem.refusal_cost * refused[(capacity - left).clip(0, capacity)]
    )
    # Those left behind must still be in time. One alone at the fastest point always goes.
    in_time = alone_s + left / problem.throughput_per_s <= problem.objective_s
    if count == 1 and option.point is problem.menu.points[0]:
        in_time[:] = True
    return _Leg(np.where(in_time & (left >= 0), reward, -np.inf), seconds, moves)


def _evaluate(
    legs: list[_Leg], chosen: npt.NDArray[np.intp], rate_per_s: float
) -> tuple[float, npt.NDArray[np.float64]]:
    """Gain and relative values, h(0) = 0, of a fixed choice in each state."""
    states = len(chosen)
    moves, reward, seconds = np.zeros((states, states)), np.zeros(states), np.empty(states)
    moves[0, 1], seconds[0] = 1.0, 1.0 / rate_per_s
    for state in range(1, states):
        leg = legs[chosen[state]]
        moves[state], reward[state], seconds[state] = leg.moves[state], leg.reward[state], leg.seconds
    # The unknown h(0) is 0 by choice: its column holds the gain.
    system = np.eye(states) - moves
    system[:, 0] = seconds
    solution = np.linalg.solve(system, reward).astype(np.float64)
    gain = float(solution[0])
    solution[0] = 0.0
    return gain, solution


def _ranked(options: list[Option], scores: npt.NDArray[np.float64]) -> tuple[Option, ...]:
    possible = [index for index in range(len(options)) if scores[index] > -np.inf]
    return tuple(options[index] for index in sorted(possible, key=lambda index: -scores[index]))


def _chances(mean: float, dispersion: float, highest: int) -> npt.NDArray[np.float64]:
    """Chances of 0 to `highest` arrivals."""
    counts = np.arange(highest + 1)
    logarithms = np.array([-math.lgamma(count + 1) for count in counts])
    if dispersion <= 1.0:
        logarithms += counts * math.log(mean) - mean
    else:
        # Negative binomial with r = mean / (dispersion - 1) and p = 1 / dispersion.
        size = mean / (dispersion - 1.0)
        logarithms += [math.lgamma(count + size) - math.lgamma(size) for count in counts]
        logarithms += counts * math.log1p(-1.0 / dispersion) - size * math.log(dispersion)
    found: npt.NDArray[np.float64] = np.exp(logarithms)
    return found
