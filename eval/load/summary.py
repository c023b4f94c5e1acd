"""The figures of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT
from mixdq.configs.errors import EvaluationError
from mixdq.eval.load.run import Run
from mixdq.eval.load.sample import Ending, Sample
from mixdq.eval.load.schedule import title_of


@dataclass(frozen=True, slots=True, config=STRICT)
class Summary:
    """One schedule against one server.

    Latencies are of the pictures that were made, late ones included, from the intended sending to the last
    byte of the answer. made, refused, shed, unavailable, rejected and errors add up to requests.

    Attributes:
        arrivals: the pattern.
        rate_per_s: its mean; 0 for clients that wait for their answers.
        clients: that wait for their answers; 0 for arrivals that don't.
        requests: how many were sent.
        seconds: from the beginning to the last answer.
        objective_ms: when a picture is in time; None if neither the requests nor the server say.
        in_time_share: of all requests; None if there is no objective.
        p50_ms: half took no longer; None here and below if no picture was made.
        p95_ms: 95 of 100 took no longer.
        p99_ms: 99 of 100 took no longer.
        mean_wait_ms: in the server, from arrival to the beginning of the service; None if it isn't told.
        mean_service_ms: of a batch on a worker; None if it isn't told.
        overhead_p50_ms: of the server beside wait, service and the picture's encoding; None if it isn't told.
        overhead_p99_ms: 99 of 100 pictures took no more of it.
        goodput_per_s: pictures in time a second; all pictures where there is no objective.
        mean_utility: of a picture; None where utilities are not known.
        made: pictures.
        refused: 429.
        shed: 504.
        unavailable: 503.
        rejected: other 4xx.
        errors: anything else.
        resolution_shares: of the pictures, by pixels.
        lag_p50_ms: how late requests were sent, which is the client's own fault: half of them no later.
        lag_p99_ms: 99 of 100 no later.
        lag_max_ms: the latest.
    """

    arrivals: str
    rate_per_s: float
    clients: int
    requests: int
    seconds: float
    objective_ms: float | None
    in_time_share: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    mean_wait_ms: float | None
    mean_service_ms: float | None
    overhead_p50_ms: float | None
    overhead_p99_ms: float | None
    goodput_per_s: float
    mean_utility: float | None
    made: int
    refused: int
    shed: int
    unavailable: int
    rejected: int
    errors: int
    resolution_shares: Mapping[int, float]
    lag_p50_ms: float
    lag_p99_ms: float
    lag_max_ms: float

    @property
    def title(self) -> str:
        """See `title_of`."""
        return title_of(self.arrivals, self.rate_per_s)

    def why_invalid(self, max_lag_ms: float) -> str | None:
        """Why these figures are the client's and not the server's; None if they are not.

        Args:
            max_lag_ms: how late 99 of 100 requests may have been sent.
        """
        if self.lag_p99_ms <= max_lag_ms:
            return None
        return (
            f"{self.title} is invalid: the client sent its requests late (99th percentile "
            f"{self.lag_p99_ms:.1f} ms, at most {max_lag_ms:g} ms allowed), so the figures are its own; run "
            "it on an idle machine, lower the rate, or raise --max-lag-ms"
        )


def summarize(run: Run) -> Summary:
    """The figures of a run.

    Raises:
        EvaluationError: no request was sent.
    """
    schedule, samples = run.schedule, run.samples
    if not samples:
        raise EvaluationError("no request was sent; give a schedule of at least one")
    counts = Counter(sample.ending for sample in samples)
    made = [sample for sample in samples if sample.ending is Ending.MADE]
    p50_ms, p95_ms, p99_ms = percentiles_ms([sample.latency_s for sample in made])
    lag_p50_ms, lag_p99_ms, lag_max_ms = np.percentile(
        [1e3 * sample.lag_s for sample in samples], (50, 99, 100)
    )
    overheads_s = [sample.reply.overhead_s for sample in made]
    overhead_p50_ms, _, overhead_p99_ms = percentiles_ms([one for one in overheads_s if one is not None])
    seconds = max(sample.ended_s for sample in samples)
    judged_s = _objective_s(run)
    in_time = None if judged_s is None else sum(sample.is_in_time(judged_s) for sample in samples)
    return Summary(
        arrivals=schedule.name,
        rate_per_s=schedule.rate_per_s,
        clients=schedule.clients,
        requests=len(samples),
        seconds=seconds,
        objective_ms=None if judged_s is None else 1e3 * judged_s,
        in_time_share=None if in_time is None else in_time / len(samples),
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        p99_ms=p99_ms,
        mean_wait_ms=_mean_ms([sample.reply.wait_s for sample in made]),
        mean_service_ms=_mean_ms([sample.reply.service_s for sample in made]),
        overhead_p50_ms=overhead_p50_ms,
        overhead_p99_ms=overhead_p99_ms,
        goodput_per_s=(len(made) if in_time is None else in_time) / seconds,
        mean_utility=_mean_utility(made, run.facts.utilities),
        made=len(made),
        refused=counts[Ending.REFUSED],
        shed=counts[Ending.SHED],
        unavailable=counts[Ending.UNAVAILABLE],
        rejected=counts[Ending.REJECTED],
        errors=counts[Ending.ERROR],
        resolution_shares=_shares(made),
        lag_p50_ms=float(lag_p50_ms),
        lag_p99_ms=float(lag_p99_ms),
        lag_max_ms=float(lag_max_ms),
    )


def _objective_s(run: Run) -> float | None:
    """Of most requests: what they ask for, or the server's."""
    (own_s, _), *_ = Counter(sample.planned.objective_s for sample in run.samples).most_common()
    return run.facts.objective_s if own_s is None else own_s


def percentiles_ms(seconds: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """The 50th, 95th and 99th percentile in milliseconds; None of nothing."""
    if not seconds:
        return None, None, None
    p50, p95, p99 = 1e3 * np.percentile(seconds, (50, 95, 99))
    return float(p50), float(p95), float(p99)


def _mean_ms(seconds: Sequence[float | None]) -> float | None:
    known = [one for one in seconds if one is not None]
    return 1e3 * sum(known) / len(known) if known else None


def _mean_utility(made: Sequence[Sample], utilities: Mapping[int, float]) -> float | None:
    sizes = [sample.reply.size for sample in made]
    known = [utilities[size] for size in sizes if size is not None and size in utilities]
    return sum(known) / len(known) if known and len(known) == len(sizes) else None


def _shares(made: Sequence[Sample]) -> dict[int, float]:
    counts = Counter(sample.reply.size for sample in made if sample.reply.size is not None)
    return {size: counts[size] / len(made) for size in sorted(counts)}
