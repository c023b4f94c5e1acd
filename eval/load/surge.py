"""Far too many requests for a while, and what a server makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from random import Random

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.eval.load.run import Run
from mixdq.eval.load.sample import Ending, Sample
from mixdq.runtime.simulate.calls import Call, check_above_zero

RECOVERY_OBJECTIVES = 2.0
"""So many objectives after a surge everyone is served in time again."""


@plain_dataclass(frozen=True, slots=True)
class Surge:
    """Poisson arrivals that jump to a higher rate for a while.

    Attributes:
        quiet_per_s: the rate before and after.
        surge_per_s: the rate between.
        before_s: how long the first phase is.
        surge_s: the second.
        after_s: the third.
    """

    quiet_per_s: float
    surge_per_s: float
    before_s: float
    surge_s: float
    after_s: float

    def __post_init__(self) -> None:
        """Checks the figures."""
        for figure, what in (
            (self.quiet_per_s, "the rate before and after a surge"),
            (self.surge_per_s, "the rate of a surge"),
            (self.before_s, "the time before a surge"),
            (self.surge_s, "the time of a surge"),
            (self.after_s, "the time after a surge"),
        ):
            check_above_zero(figure, what)

    @property
    def name(self) -> str:
        """`surge of 60 s`."""
        return f"surge of {self.surge_s:g} s"

    @property
    def rate_per_s(self) -> float:
        """The mean."""
        quiet_s = self.before_s + self.after_s
        total = self.quiet_per_s * quiet_s + self.surge_per_s * self.surge_s
        return total / (quiet_s + self.surge_s)

    @property
    def end_s(self) -> float:
        """When the surge ends."""
        return self.before_s + self.surge_s

    def calls(self, random: Random) -> Iterator[Call]:
        """The arrivals of the three phases; arrivals forget, so the cuts have no effect."""
        begin_s = 0.0
        for rate, length_s in (
            (self.quiet_per_s, self.before_s),
            (self.surge_per_s, self.surge_s),
            (self.quiet_per_s, self.after_s),
        ):
            now_s, end_s = begin_s, begin_s + length_s
            while (now_s := now_s + random.expovariate(rate)) < end_s:
                yield Call(now_s)
            begin_s = end_s


@dataclass(frozen=True, slots=True, config=STRICT)
class SurgeReport:
    """What became of a surge. In time and late are by the server's clock.

    Attributes:
        settings: what the figures depend on, in words.
        objective_ms: of every request.
        surge_requests: that came in the surge.
        surge_accepted: of them, those that were neither refused nor turned away.
        surge_done: of the accepted, those whose pictures were made in time.
        surge_late: of the accepted, those whose pictures were made late.
        surge_dropped: of the accepted, those that were dropped or failed.
        least_done_share: of the accepted, who have to be done in time.
        surge_p95_ms: of the pictures, from the intended sending to the last byte; None if there are none.
        recovered_ms: after the surge, from when on every request was done in time; None if the last was not.
        after_requests: that came after the surge.
        first_mib: memory of the server's processes before it.
        peak_mib: the most.
        last_mib: at the end.
        most_growth_mib: how much more than at first it may be.
        invalid: why these are the client's figures; empty if they are the server's.
        machine: what all of it ran on.
        versions: of the packages.
    """

    settings: Mapping[str, str]
    objective_ms: float
    surge_requests: int
    surge_accepted: int
    surge_done: int
    surge_late: int
    surge_dropped: int
    least_done_share: float
    surge_p95_ms: float | None
    recovered_ms: float | None
    after_requests: int
    first_mib: float
    peak_mib: float
    last_mib: float
    most_growth_mib: float
    invalid: tuple[str, ...]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    version: int = 1

    def failures(self) -> Iterator[str]:
        """A line for each thing that isn't as it should be."""
        share = self.surge_done / self.surge_accepted if self.surge_accepted else 0.0
        if share < self.least_done_share:
            yield (
                f"{share:.4f} of those accepted in the surge were done in time, less than "
                f"{self.least_done_share:g}"
            )
        limit_ms = RECOVERY_OBJECTIVES * self.objective_ms
        if self.recovered_ms is None:
            yield "the last request was still not done in time: the server did not recover"
        elif self.recovered_ms > limit_ms:
            yield f"recovery took {self.recovered_ms:.0f} ms, more than {limit_ms:.0f}"
        if self.peak_mib - self.first_mib > self.most_growth_mib:
            yield (
                f"memory grew by {self.peak_mib - self.first_mib:.0f} MiB, more than {self.most_growth_mib:g}"
            )
        yield from self.invalid

    def lines(self) -> Iterator[str]:
        """The figures for people."""
        yield (
            f"surge: {self.surge_requests} requests, {self.surge_accepted} accepted: {self.surge_done} done "
            f"in time, {self.surge_late} late, {self.surge_dropped} dropped or failed"
        )
        p95 = "unknown" if self.surge_p95_ms is None else f"{self.surge_p95_ms:.0f} ms"
        yield f"their p95 at the client: {p95} (objective {self.objective_ms:g} ms)"
        recovered = "not" if self.recovered_ms is None else f"{self.recovered_ms:.0f} ms after the surge"
        yield f"recovered: {recovered}, of {self.after_requests} requests after it"
        yield (
            f"memory of the server's processes: {self.first_mib:.0f} MiB at first, {self.peak_mib:.0f} at "
            f"most, {self.last_mib:.0f} at the end"
        )

    def write(self, path: Path) -> None:
        """Writes all of it as JSON."""
        write_text(path, to_json(self))


def recovered_s(samples: Sequence[Sample], end_s: float) -> float | None:
    """How long after `end_s` the last request came that was not done in time, by the server's clock.

    0 if all of those after it were; None if none was, or the very last was not.
    """
    after = [sample for sample in samples if sample.intended_s >= end_s]
    bad_s = [sample.intended_s - end_s for sample in after if not is_done(sample)]
    if not after or not is_done(after[-1]):
        return None
    return max(bad_s, default=0.0)


def is_done(sample: Sample) -> bool:
    """Whether its picture was made in time, by the server's clock."""
    return sample.ending is Ending.MADE and sample.reply.late is False


def judged(run: Run, surge: Surge) -> dict[str, int]:
    """The counts of a surge, by `SurgeReport`'s names."""
    within = [one for one in run.samples if surge.before_s <= one.intended_s < surge.end_s]
    turned_away = (Ending.REFUSED, Ending.UNAVAILABLE, Ending.REJECTED)
    accepted = [one for one in within if one.ending not in turned_away]
    done = sum(map(is_done, accepted))
    late = sum(one.reply.late is True for one in accepted)
    if not within:
        raise EvaluationError("no request came in the surge; make it longer or its rate higher")
    return {
        "surge_requests": len(within),
        "surge_accepted": len(accepted),
        "surge_done": done,
        "surge_late": late,
        "surge_dropped": len(accepted) - done - late,
        "after_requests": sum(one.intended_s >= surge.end_s for one in run.samples),
    }
