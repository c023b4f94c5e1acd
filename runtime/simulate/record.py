"""What a simulation adds up while it runs."""

from __future__ import annotations

from array import array
from collections import Counter

from mixdq.runtime.policy.dispatcher import Tally
from mixdq.runtime.policy.policy import Batch


class Record:
    """Sums and latencies, of all pictures that were made.

    Attributes:
        latency_s: from arrival to picture, in the order in which they were made.
        wait_s: from arrival to the beginning of the service, summed.
        utility: summed, of pictures in time and late.
        utility_in_time: summed, of those in time.
        by_resolution: how many pictures of each.
        busy_s: of all workers together.
        switches: changes of a worker's resolution.
        batches: how many were made.
        end_s: when the last thing happened.
        tally: what became of the requests; there after the end.
    """

    __slots__ = (
        "batches",
        "busy_s",
        "by_resolution",
        "end_s",
        "latency_s",
        "switches",
        "tally",
        "utility",
        "utility_in_time",
        "wait_s",
    )

    def __init__(self) -> None:
        self.latency_s = array("d")
        self.wait_s = 0.0
        self.utility = 0.0
        self.utility_in_time = 0.0
        self.by_resolution: Counter[int] = Counter()
        self.busy_s = 0.0
        self.switches = 0
        self.batches = 0
        self.end_s = 0.0
        self.tally = Tally(0, 0, {}, 0, 0)

    def start(self, batch: Batch, now_s: float, took_s: float, *, switched: bool) -> None:
        """A worker begins with a batch, which will take so long."""
        self.busy_s += took_s
        self.batches += 1
        self.switches += switched
        for request in batch.requests:
            self.wait_s += now_s - request.arrival_s

    def count(self, batch: Batch, now_s: float) -> None:
        """A batch is made."""
        point = batch.point
        utility = point.utility
        self.by_resolution[point.resolution] += len(batch.requests)
        for request in batch.requests:
            self.latency_s.append(now_s - request.arrival_s)
            self.utility += utility
            if now_s <= request.deadline_s:
                self.utility_in_time += utility
