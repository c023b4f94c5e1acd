"""How many prompts are calibrated at once; apart from the calibration, because that imports torch."""

from __future__ import annotations

from collections.abc import Sequence

_LARGEST, _PIXELS = 8, 8 * 256**2


def batch_size(resolution: int) -> int:
    """Prompts at once: as many as fit into the memory of eight at 256 pixels."""
    return min(_LARGEST, max(1, _PIXELS // resolution**2))


def batch_starts(prompts: int, resolutions: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The batches that a calibration runs, in order: resolution, and place of the first prompt."""
    return tuple(
        (resolution, start)
        for resolution in resolutions
        for start in range(0, prompts, batch_size(resolution))
    )


def batches(prompts: int, resolutions: Sequence[int]) -> int:
    """How many batches a calibration runs."""
    return len(batch_starts(prompts, resolutions))
