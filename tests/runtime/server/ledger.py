"""Counts what a service tells its observers, and whether it all adds up."""

from __future__ import annotations

from collections import Counter

from mixdq.runtime.policy.request import Outcome, Request
from mixdq.runtime.server.service import Service
from mixdq.runtime.server.supervisor import Phase


class Ledger:
    """An observer that keeps everything."""

    def __init__(self) -> None:
        self.pictures_asked = 0
        self.refusals: Counter[str] = Counter()
        self.endings: dict[int, list[Outcome]] = {}
        self.sizes: Counter[int] = Counter()
        self.batches: list[tuple[int, int]] = []
        self.phases: list[tuple[int, Phase]] = []

    def arrived(self, count: int) -> None:
        self.pictures_asked += count

    def refused(self, reason: str, count: int) -> None:
        self.refusals[reason] += count

    def settled(
        self,
        request: Request,
        outcome: Outcome,
        wait_s: float,
        service_s: float | None,
        resolution: int | None,
    ) -> None:
        assert wait_s >= 0
        made = outcome in (Outcome.DONE, Outcome.LATE)
        assert not made or (service_s is not None and resolution is not None)
        self.endings.setdefault(request.number, []).append(outcome)
        if resolution is not None and made:
            self.sizes[resolution] += 1

    def batch(self, resolution: int, size: int, service_s: float) -> None:
        self.batches.append((resolution, size))

    def worker_changed(self, number: int, phase: Phase, reason: str | None) -> None:
        self.phases.append((number, phase))

    def check(self, service: Service) -> None:
        """Every accepted picture ended in one way, waits or runs; what was counted is what was told."""
        tally = service.tally()
        assert tally.arrived == self.pictures_asked
        assert tally.refused == self.refusals.total()
        assert tally.arrived == tally.refused + tally.accepted
        assert all(len(endings) == 1 for endings in self.endings.values()), self.endings
        assert tally.outcomes == Counter(endings[0] for endings in self.endings.values())
        assert min(tally.waiting, tally.running, service.status().queue_bytes) >= 0

    def check_over(self, service: Service) -> None:
        """And nothing waits or runs any more."""
        self.check(service)
        tally = service.tally()
        assert (tally.waiting, tally.running, service.status().queue_bytes) == (0, 0, 0)
