"""Figures for Prometheus: what is counted as it happens, and what is read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from mixdq.runtime.policy.request import Outcome, Request
from mixdq.runtime.server.supervisor import Phase

if TYPE_CHECKING:
    from mixdq.runtime.server.service import Service

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
_BATCHES = (1, 2, 4, 8, 16, 32)


class HttpMetrics:
    """Requests by route and status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "mixdq_http_requests", "Requests answered.", ("route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "mixdq_http_seconds",
            "From a request's headers to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )

    def answered(self, route: str, status: int, took_s: float) -> None:
        """Counts one.

        Args:
            route: the path's pattern.
            status: of HTTP.
            took_s: seconds.
        """
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(took_s)


class ServiceMetrics:
    """Pictures and batches; an observer of the service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._arrived = Counter("mixdq_pictures_arrived", "Pictures that were asked for.", registry=registry)
        self._refused = Counter(
            "mixdq_pictures_refused", "Pictures that were not accepted.", ("reason",), registry=registry
        )
        self._settled = Counter(
            "mixdq_pictures", "Accepted pictures by how they ended.", ("outcome",), registry=registry
        )
        for outcome in Outcome:
            self._settled.labels(outcome.value)
        self._made = Counter("mixdq_pictures_made", "Pictures by size.", ("resolution",), registry=registry)
        self._wait = Histogram(
            "mixdq_wait_seconds",
            "From arrival until the batch of a picture that was made began.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._latency = Histogram(
            "mixdq_latency_seconds",
            "From arrival until a picture was made.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._service = Histogram(
            "mixdq_service_seconds",
            "Of a batch on its worker.",
            ("resolution",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch = Histogram(
            "mixdq_batch_size", "Pictures of a batch.", buckets=_BATCHES, registry=registry
        )
        self._lost = Counter("mixdq_worker_losses", "Workers that were lost.", registry=registry)

    def arrived(self, count: int) -> None:
        """See `Observer`."""
        self._arrived.inc(count)

    def refused(self, reason: str, count: int) -> None:
        """See `Observer`."""
        self._refused.labels(reason).inc(count)

    def settled(
        self,
        request: Request,
        outcome: Outcome,
        wait_s: float,
        service_s: float | None,
        resolution: int | None,
    ) -> None:
        """See `Observer`."""
        self._settled.labels(outcome.value).inc()
        if outcome in (Outcome.DONE, Outcome.LATE) and service_s is not None and resolution is not None:
            self._made.labels(str(resolution)).inc()
            self._wait.observe(wait_s)
            self._latency.observe(wait_s + service_s)

    def batch(self, resolution: int, size: int, service_s: float) -> None:
        """See `Observer`."""
        self._service.labels(str(resolution)).observe(service_s)
        self._batch.observe(size)

    def worker_changed(self, number: int, phase: Phase, reason: str | None) -> None:
        """See `Observer`."""
        if phase is Phase.LOST:
            self._lost.inc()


class StatusCollector(Collector):
    """What the service's status says when it is asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        """The gauges."""
        status = self._service.status()
        yield _gauge("mixdq_ready", "Whether orders are accepted.", float(status.is_ready))
        yield _gauge("mixdq_queue_length", "Pictures that wait.", status.queue_length)
        yield _gauge("mixdq_queue_bytes", "What they hold.", status.queue_bytes)
        yield _gauge("mixdq_running", "Pictures on the workers.", status.tally.running)
        yield _gauge("mixdq_objective_seconds", "From arrival to picture.", status.objective_s)
        yield _gauge("mixdq_arrival_rate", "Pictures asked for a second, as estimated.", status.rate_per_s)
        if status.resolution is not None:
            yield _gauge(
                "mixdq_resolution", "Pixels of the last picture whose size was left open.", status.resolution
            )
        restarts = CounterMetricFamily("mixdq_worker_restarts", "Lives after the first.", labels=("worker",))
        memory = GaugeMetricFamily(
            "mixdq_device_peak_bytes", "Of the device's memory, at most so far.", labels=("worker",)
        )
        phases = GaugeMetricFamily("mixdq_worker_phase", "1 for the present one.", labels=("worker", "phase"))
        for worker in status.workers:
            name = str(worker.number)
            restarts.add_metric((name,), worker.restarts)
            if worker.peak_bytes is not None:
                memory.add_metric((name,), worker.peak_bytes)
            for phase in Phase:
                phases.add_metric((name, phase.value), float(worker.phase is phase))
        yield from (restarts, memory, phases)
        if status.bundle is not None:
            facts = {
                "model": status.bundle.model.name,
                "precision": status.bundle.plan_summary,
                "digest": status.digest or "",
                "policy": status.policy or "",
            }
            yield InfoMetricFamily("mixdq_bundle", "What is served.", value=facts)


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, value=value)
