"""How a set is computed: as its first run was, whatever a later one would choose by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mixdq.configs.errors import EvaluationError
from mixdq.eval.image_set import Arrangement
from mixdq.eval.images.source import PictureSource


def settle(folder: Path, source: PictureSource, used: Sequence[Arrangement]) -> Arrangement:
    """How to compute what is missing of a set.

    A new set is computed as the source would by itself. One that has pictures is computed as they were last:
    other threads or groups change the arithmetic's last bits. A smaller batch alone is taken, for where
    memory ran out; the manifest then lists both arrangements.

    Args:
        folder: of the set, for the error.
        source: what draws, with what was asked for.
        used: how the pictures that are there were computed, in order; empty for a new set.

    Raises:
        EvaluationError: another number of calls side by side, or a larger batch, is asked for.
    """
    if not used:
        return source.arrangement
    last = used[-1]
    if source.asked_jobs not in (None, last.jobs):
        raise _other(folder, "--jobs", last.jobs, source.asked_jobs, "")
    if source.asked_batch is not None and source.asked_batch > last.batch:
        smaller = ", or make it smaller where memory runs out" if last.batch > 1 else ""
        raise _other(folder, "--batch", last.batch, source.asked_batch, smaller)
    return replace(last, batch=source.asked_batch or last.batch)


def _other(folder: Path, option: str, before: int, now: int | None, more: str) -> EvaluationError:
    return EvaluationError(
        f"{folder} holds pictures that were drawn with {option} {before}, now {option} {now} is asked for: "
        f"pictures of both would differ in their last bits; leave it out{more}, or start another folder"
    )
