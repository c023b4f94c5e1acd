"""What is served and what decides: menu and policy of a bundle, from what the operator says."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mixdq.configs.bundle import Bundle
from mixdq.configs.errors import EvaluationError
from mixdq.configs.latency_table import LatencyTable
from mixdq.configs.quality_table import QualityTable
from mixdq.runtime.policy.measured import Measurements, measured_points, measured_utilities
from mixdq.runtime.policy.points import Menu, Point, check_same, make_menu
from mixdq.runtime.policy.policy import Policy
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.policy.rate import ArrivalRate
from mixdq.runtime.policy.words import Tuning, parse_policy
from mixdq.runtime.server.blueprint import Blueprint
from mixdq.runtime.server.supervisor import Patience
from mixdq.runtime.simulate.words import parse_by_resolution
from mixdq.runtime.work.job import Ready, Work


@dataclass(frozen=True, slots=True)
class Offer:
    """How menu and policy are made.

    Attributes:
        latency: the table of times; None for what the workers measure while they get ready.
        wanted: which of its rows; the plan is the bundle's.
        utility: `512=0.7`, one a resolution.
        quality: tables of scores instead.
        metric: which of their scores.
        policy: `deadline`, `thresholds`, `objective` or `static:512`; None for the first of them if utilities
            are known, else `objective`.
        tuning: the policies' figures.
        objective_s: from arrival to picture.
        workers: how many.
        limits: of the queue.
        switch_s: what a change of resolution costs.
        rate_memory_s: of the estimate of the arrivals' rate.
        steps: denoising steps of every picture.
    """

    latency: Path | None
    wanted: Measurements
    utility: tuple[str, ...]
    quality: tuple[Path, ...]
    metric: str | None
    policy: str | None
    tuning: Tuning
    objective_s: float
    workers: int
    limits: QueueLimits
    switch_s: float
    rate_memory_s: float
    steps: int

    def blueprint(self, work: Callable[[Path, int], Work]) -> Blueprint:
        """How the service makes a bundle's queue and workers.

        Args:
            work: one life of a worker of a folder, by its number.
        """
        return Blueprint(
            work=work,
            menu=self.menu,
            policy=self.make_policy,
            workers=self.workers,
            objective_s=self.objective_s,
            steps=self.steps,
            limits=self.limits,
            switch_s=self.switch_s,
            rate_memory_s=self.rate_memory_s,
            patience=Patience(),
        )

    def rehearse(self, bundle: Bundle) -> None:
        """Makes both with made-up times, so that what is wrong with the words is known before workers start.

        Raises:
            EvaluationError: as `menu` and `make_policy` do; the memory of the rate is none.
            RequestError: as `make_policy` does.
            StorageError: as `menu` does.
        """
        ArrivalRate(self.rate_memory_s, 1.0)
        service_s: dict[int, dict[int, tuple[float, ...]]] = {
            resolution: {1: (1e-6 * resolution**2,)} for resolution in bundle.resolutions
        }
        self.make_policy(self.menu(bundle, [Ready(service_s, None)]))

    def menu(self, bundle: Bundle, workers: Sequence[Ready]) -> Menu:
        """The resolutions of a bundle, with times and utilities.

        Raises:
            EvaluationError: the tables or words are of other resolutions, another plan, or contradict.
            StorageError: a table can't be read.
        """
        utilities = self._utilities(bundle)
        if self.latency is None:
            points = [_point(size, utilities[size], workers) for size in bundle.resolutions]
        else:
            wanted = replace(self.wanted, plan_digest=bundle.plan_digest)
            points = list(measured_points(LatencyTable.read(self.latency), wanted, utilities))
            # A worker makes no larger batch than its engines hold at once.
            points = [_cut(point, bundle.batch) for point in points]
        return make_menu(points)

    def make_policy(self, menu: Menu) -> Policy:
        """The policy over a menu.

        Raises:
            EvaluationError: no such policy, or it needs utilities and there are none.
            RequestError: a resolution that is not served.
        """
        word = self.policy or ("deadline" if self.has_utilities else "objective")
        if word == "deadline" and not self.has_utilities:
            raise EvaluationError(
                "the deadline policy weighs what pictures of each size are worth: say it with --utility "
                "PIXELS=U, once a resolution, or with --quality and --metric; or choose objective, "
                "thresholds or static:PIXELS"
            )
        return parse_policy(word, menu, self.objective_s, self.workers, self.tuning)

    @property
    def has_utilities(self) -> bool:
        """Whether it is known what pictures of each size are worth."""
        return bool(self.utility or self.quality)

    def _utilities(self, bundle: Bundle) -> dict[int, float]:
        if not self.has_utilities and self.metric is None:
            # Only their order counts: no policy that weighs them is possible.
            return {size: size / bundle.resolutions[-1] for size in bundle.resolutions}
        if self.utility and not self.quality and self.metric is None:
            found = parse_by_resolution(self.utility, "--utility")
        elif self.quality and self.metric is not None and not self.utility:
            tables = [QualityTable.read(path) for path in self.quality]
            found = measured_utilities(tables, self.metric, bundle.plan_digest)
        else:
            raise EvaluationError(
                "utilities come from --utility PIXELS=U, once a resolution, or from --quality FILE, which "
                "`mixdq-eval quality` writes, once a resolution, with --metric: pass one of the two, or none"
            )
        check_same(bundle.resolutions, found, "resolution of the bundle", "utility")
        return found


def _point(resolution: int, utility: float, workers: Sequence[Ready]) -> Point:
    counts = sorted(workers[0].service_s[resolution])
    times = {
        count: [seconds for ready in workers for seconds in ready.service_s[resolution][count]]
        for count in counts
    }
    # Engines make a whole batch at once: those between two that were measured take as long as the larger.
    made = [times[min(count for count in counts if count >= wanted)] for wanted in range(1, counts[-1] + 1)]
    return Point(
        resolution,
        utility,
        tuple(statistics.median(seconds) for seconds in made),
        tuple(statistics.pvariance(seconds) for seconds in made),
    )


def _cut(point: Point, batch: int) -> Point:
    return replace(point, typical_s=point.typical_s[:batch], variance_s2=point.variance_s2[:batch])
