"""How long things take, measured side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from statistics import median, quantiles
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT

if TYPE_CHECKING:
    # ONNX Runtime need not be there to time something else.
    from mixdq.runtime.engine import Array, Engine


@plain_dataclass(frozen=True, slots=True)
class Spread:
    """How some measured values lie, in their own unit; between two of them linearly."""

    median: float
    lower_quartile: float
    upper_quartile: float
    p95: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least two values."""
        lower, _, upper = quantiles(values, n=4, method="inclusive")
        p95 = quantiles(values, n=20, method="inclusive")[-1]
        return cls(median(values), lower, upper, p95, len(values))


@dataclass(frozen=True, slots=True, config=STRICT)
class Timing:
    """Milliseconds of one call: the median and the quartiles over some rounds."""

    median_ms: float
    lower_quartile_ms: float
    upper_quartile_ms: float
    rounds: int


def time_in_turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Times several calls in turns, so that whatever else the machine does falls on all of them.

    Each call is made once before, unmeasured.

    Args:
        calls: what to time, by name.
        rounds: measured calls of each; at least 2.
    """
    seen: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = perf_counter()
            call()
            seen[name].append((perf_counter() - start) * 1e3)
    return {name: _timing(values) for name, values in seen.items()}


def noise_for(engine: Engine, seed: int) -> dict[str, Array]:
    """Inputs of an engine's own shapes and types: unit noise, and zeros where it takes integers."""
    random = np.random.default_rng(seed)
    return {
        spec.name: random.standard_normal(spec.shape).astype(spec.dtype)
        if np.issubdtype(np.dtype(spec.dtype), np.floating)
        else np.zeros(spec.shape, spec.dtype)
        for spec in engine.record.inputs
    }


def _timing(values: list[float]) -> Timing:
    found = Spread.of(values)
    return Timing(found.median, found.lower_quartile, found.upper_quartile, found.count)
