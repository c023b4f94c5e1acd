"""Every policy under every pattern of arrivals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mixdq.configs.errors import EvaluationError
from mixdq.runtime.policy.deadline import Deadline
from mixdq.runtime.policy.measured import P95_SIGMAS
from mixdq.runtime.policy.objective import best_resolution_for_objective
from mixdq.runtime.policy.points import Point
from mixdq.runtime.policy.policy import Policy
from mixdq.runtime.policy.prices import Problem
from mixdq.runtime.policy.static import Static
from mixdq.runtime.policy.thresholds import Thresholds
from mixdq.runtime.simulate.calls import Clients, Pattern
from mixdq.runtime.simulate.results import Results, Row, make_row
from mixdq.runtime.simulate.simulator import Setup, simulate


@dataclass(frozen=True, slots=True)
class Tuning:
    """The figures that policies take.

    Attributes:
        bounds: of `thresholds`, one fewer than resolutions; the last ones go where some are dominated.
        hysteresis: of `thresholds`.
        refusal_cost: of `deadline`, in utilities.
        late_risk: of `deadline`.
        switch_share: of `deadline`.
    """

    bounds: tuple[int, ...]
    hysteresis: int
    refusal_cost: float
    late_risk: float
    switch_share: float


def parse_policy(word: str, setup: Setup, tuning: Tuning) -> Policy:
    """A policy by its name: `deadline`, `thresholds`, `static:512`, or `objective`.

    The last is the static one of the highest resolution whose 95th percentile without load is within the
    objective.

    Raises:
        EvaluationError: another word, or figures that the policy can't take.
        RequestError: a resolution that is not served.
    """
    menu = setup.menu
    match word.split(":"):
        case ["deadline"]:
            problem = Problem(menu, setup.objective_s, setup.workers, tuning.refusal_cost)
            return Deadline(problem, tuning.late_risk, tuning.switch_share)
        case ["thresholds"]:
            # A resolution that is dominated needs no bound; which ones are may depend on measured times.
            bounds = tuning.bounds[: max(0, len(tuning.bounds) - len(menu.dominated))]
            return Thresholds(menu.points, bounds, tuning.hysteresis)
        case ["objective"]:
            p95_ms = {point.resolution: 1e3 * _p95_s(point) for point in menu.points}
            return Static(menu.find(best_resolution_for_objective(p95_ms, 1e3 * setup.objective_s)))
        case ["static", size] if size.isdecimal():
            return Static(menu.find(int(size)))
    raise EvaluationError(
        f"{word} is no policy; there are deadline, thresholds, objective, and static:PIXELS, such as "
        f"static:{menu.resolutions[0]}"
    )


def run_experiment(
    setup: Setup,
    policies: Sequence[Policy],
    patterns: Sequence[Pattern | Clients],
    settings: dict[str, str],
    watch: Callable[[int, int], None],
) -> Results:
    """A row a policy and pattern.

    Args:
        setup: what all of them share.
        policies: which.
        patterns: which.
        settings: what the results say that they depend on.
        watch: is told how many simulations are done, and of how many.
    """
    cases = [(pattern, policy) for pattern in patterns for policy in policies]
    rows: list[Row] = []
    for pattern, policy in cases:
        watch(len(rows), len(cases))
        record = simulate(setup, policy, pattern)
        rate = 0.0 if isinstance(pattern, Clients) else pattern.rate_per_s
        rows.append(make_row(pattern.name, rate, policy.name, record, setup.menu, setup.workers))
    return Results(settings, tuple(rows), tuple(str(found) for found in setup.menu.dominated))


def _p95_s(point: Point) -> float:
    return point.typical_s[0] + P95_SIGMAS * math.sqrt(point.variance_s2[0])
