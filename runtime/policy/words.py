"""Policies by their names, as the command line says them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mixdq.configs.errors import EvaluationError
from mixdq.runtime.policy.deadline import Deadline
from mixdq.runtime.policy.measured import P95_SIGMAS
from mixdq.runtime.policy.objective import best_resolution_for_objective
from mixdq.runtime.policy.points import Menu, Point
from mixdq.runtime.policy.policy import Policy
from mixdq.runtime.policy.prices import Problem
from mixdq.runtime.policy.static import Static
from mixdq.runtime.policy.thresholds import Thresholds


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


def parse_policy(word: str, menu: Menu, objective_s: float, workers: int, tuning: Tuning) -> Policy:
    """A policy by its name: `deadline`, `thresholds`, `static:512`, or `objective`.

    The last is the static one of the highest resolution whose 95th percentile without load is within the
    objective.

    Args:
        word: which.
        menu: what it chooses from.
        objective_s: from arrival to picture.
        workers: how many serve.
        tuning: its figures.

    Raises:
        EvaluationError: another word, or figures that the policy can't take.
        RequestError: a resolution that is not served.
    """
    match word.split(":"):
        case ["deadline"]:
            problem = Problem(menu, objective_s, workers, tuning.refusal_cost)
            return Deadline(problem, tuning.late_risk, tuning.switch_share)
        case ["thresholds"]:
            # A resolution that is dominated needs no bound; which ones are may depend on measured times.
            bounds = tuning.bounds[: max(0, len(tuning.bounds) - len(menu.dominated))]
            return Thresholds(menu.points, bounds, tuning.hysteresis)
        case ["objective"]:
            p95_ms = {point.resolution: 1e3 * _p95_s(point) for point in menu.points}
            return Static(menu.find(best_resolution_for_objective(p95_ms, 1e3 * objective_s)))
        case ["static", size] if size.isdecimal():
            return Static(menu.find(int(size)))
    raise EvaluationError(
        f"{word} is no policy; there are deadline, thresholds, objective, and static:PIXELS, such as "
        f"static:{menu.resolutions[0]}"
    )


def _p95_s(point: Point) -> float:
    return point.typical_s[0] + P95_SIGMAS * math.sqrt(point.variance_s2[0])
