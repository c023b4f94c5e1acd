"""The best resolution that keeps an objective without any load."""

from __future__ import annotations

from collections.abc import Mapping

from mixdq.configs.errors import EvaluationError


def best_resolution_for_objective(p95_ms: Mapping[int, float], objective_ms: float) -> int:
    """The highest resolution whose 95th percentile is within the objective, or the smallest if none is.

    Args:
        p95_ms: milliseconds by resolution.
        objective_ms: milliseconds.

    Raises:
        EvaluationError: nothing was measured.
    """
    if not p95_ms:
        raise EvaluationError("no resolution was measured; give at least one with its 95th percentile")
    kept = [resolution for resolution, time_ms in p95_ms.items() if time_ms <= objective_ms]
    return max(kept) if kept else min(p95_ms)
