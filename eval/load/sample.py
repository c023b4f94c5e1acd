"""What became of one request, as the client saw it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mixdq.configs.files import write_text
from mixdq.eval.load.schedule import Planned


class Ending(StrEnum):
    """How a request ended; each ends in exactly one of these."""

    MADE = "made"
    """200 with a picture, in time or not."""
    REFUSED = "refused"
    """429: not accepted."""
    SHED = "shed"
    """504: accepted, and dropped because its deadline could no longer be met."""
    UNAVAILABLE = "unavailable"
    """503: the server loads, drains, or has no worker."""
    REJECTED = "rejected"
    """Another 4xx: the request itself is at fault."""
    ERROR = "error"
    """Another status, an answer that is none, no answer in time, or a broken connection."""


_BY_STATUS = {200: Ending.MADE, 429: Ending.REFUSED, 503: Ending.UNAVAILABLE, 504: Ending.SHED}


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        ended_s: when it was whole, on the client's clock.
        status: of HTTP; 0 if there was no answer.
        message: what went wrong, for people; empty if nothing did.
        size: pixels of the picture that was made; None here and below where the server doesn't say.
        wait_s: from the arrival at the server to the beginning of the service.
        service_s: of the batch on the worker.
        batch: pictures that were made together.
        late: whether it was made after the deadline, by the server's clock.
        overhead_s: of the server, beside that wait, the service and the picture's encoding.
    """

    ended_s: float
    status: int
    message: str = ""
    size: int | None = None
    wait_s: float | None = None
    service_s: float | None = None
    batch: int | None = None
    late: bool | None = None
    overhead_s: float | None = None

    @property
    def ending(self) -> Ending:
        """What its status means; a picture that can't be read is an error."""
        if self.status == 200 and self.message:
            return Ending.ERROR
        rejected = Ending.REJECTED if 400 <= self.status < 500 else Ending.ERROR
        return _BY_STATUS.get(self.status, rejected)


@dataclass(frozen=True, slots=True)
class Sample:
    """One request and its answer; times in seconds after the beginning of the run.

    Attributes:
        planned: what was asked for.
        intended_s: when it was to be sent. A client that waits intends to send when its last answer came.
        sent_s: when it was.
        ended_s: when the answer was whole.
        reply: the answer.
    """

    planned: Planned
    intended_s: float
    sent_s: float
    ended_s: float
    reply: Reply

    @property
    def ending(self) -> Ending:
        """How it ended."""
        return self.reply.ending

    @property
    def latency_s(self) -> float:
        """From the intended sending: a late client does not make the server look fast."""
        return self.ended_s - self.intended_s

    @property
    def lag_s(self) -> float:
        """How late it was sent, which is the client's own fault."""
        return self.sent_s - self.intended_s

    def is_in_time(self, objective_s: float) -> bool:
        """Whether its picture came within its objective, or this one if it asked for none."""
        own_s = self.planned.objective_s
        return self.ending is Ending.MADE and self.latency_s <= (objective_s if own_s is None else own_s)


def write_samples(path: Path, runs: Iterable[tuple[str, Iterable[Sample]]]) -> None:
    """Writes a line a request, in the order of sending.

    Args:
        path: the file.
        runs: name and samples of each.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, sample in ((name, sample) for name, samples in runs for sample in samples):
        planned, reply = sample.planned, sample.reply
        writer.writerow(
            (
                name,
                planned.number,
                f"{sample.intended_s:.6f}",
                f"{sample.sent_s:.6f}",
                f"{1e3 * sample.latency_s:.3f}",
                f"{1e3 * sample.lag_s:.3f}",
                reply.status,
                sample.ending,
                "auto" if planned.size is None else planned.size,
                reply.size,
                planned.seed,
                _ms(reply.wait_s),
                _ms(reply.service_s),
                reply.batch,
                None if reply.late is None else int(reply.late),
                reply.message,
            )
        )
    write_text(path, out.getvalue())


COLUMNS = (
    "run",
    "number",
    "intended_s",
    "sent_s",
    "latency_ms",
    "lag_ms",
    "status",
    "ending",
    "asked_size",
    "size",
    "seed",
    "wait_ms",
    "service_ms",
    "batch",
    "late",
    "message",
)


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{1e3 * seconds:.3f}"
