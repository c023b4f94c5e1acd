"""Clocks for stages: the processor's, and CUDA's events on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from mixdq.configs.latency_table import WHOLE

if TYPE_CHECKING:
    import torch

ENCODE = "encode"
WALL, CUDA_EVENTS = "wall", "cuda events"


class Clock(Protocol):
    """Measures stages, which may contain others."""

    def kind(self, stage: str) -> str:
        """What it measures a stage by: `wall` or `cuda events`."""
        ...

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures what is done inside; the times of a stage that is entered again add up."""
        ...

    def take(self) -> Mapping[str, float]:
        """Microseconds of the stages since the last call."""
        ...


class WallClock:
    """The processor's clock: right for work that is done when its call returns."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def kind(self, stage: str) -> str:
        """Always `wall`."""
        return WALL

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """See `Clock.stage`."""
        start = perf_counter()
        yield
        self._seen[name] = self._seen.get(name, 0.0) + (perf_counter() - start) * 1e6

    def take(self) -> Mapping[str, float]:
        """See `Clock.take`."""
        seen, self._seen = self._seen, {}
        return seen


class CudaClock:
    """CUDA events on torch's current stream, whose work goes on after its call has returned.

    An event's time is when the stream gets to it: at once while the stream is idle, so that the processor's
    part of a stage (the tokenizers, the launches that the GPU waits for) counts as well. PNG and the whole
    end on the processor, and are measured by its clock, the GPU's work waited for.
    """

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._wall = WallClock()
        self._pairs: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    def kind(self, stage: str) -> str:
        """`wall` for PNG and the whole, else `cuda events`."""
        return WALL if stage in (ENCODE, WHOLE) else CUDA_EVENTS

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """See `Clock.stage`."""
        cuda = self._torch.cuda
        if self.kind(name) == WALL:
            cuda.synchronize()
            with self._wall.stage(name):
                yield
                cuda.synchronize()
            return
        pair = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        pair[0].record()
        yield
        pair[1].record()
        self._pairs.append((name, *pair))

    def take(self) -> Mapping[str, float]:
        """See `Clock.take`."""
        self._torch.cuda.synchronize()
        seen = dict(self._wall.take())
        for name, begin, end in self._pairs:
            seen[name] = seen.get(name, 0.0) + begin.elapsed_time(end) * 1e3
        self._pairs = []
        return seen
