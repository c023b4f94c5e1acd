"""Which picture of one set belongs to which of another: by prompt and seed, never by name."""

from __future__ import annotations

from collections.abc import Sequence

from mixdq.configs.errors import EvaluationError
from mixdq.eval.image_set import ImageRecord
from mixdq.eval.quality.pictures import DrawnSet

_NAMED = 3


Places = tuple[int, ...]
"""For each picture of one set, the place of its partner in another."""


def partners(reference: DrawnSet, other: DrawnSet) -> Places:
    """For each picture of the reference, the other's of the same index, prompt and seed.

    Raises:
        EvaluationError: the sets differ in model, resolution, number, prompts or seeds; says in which.
    """
    _check_model(reference, other)
    ours, theirs = other.manifest.painter.resolution, reference.manifest.painter.resolution
    if ours != theirs:
        raise EvaluationError(
            f"{other.folder} has pictures of {ours} pixels and {reference.folder} of {theirs}: they can't be "
            "compared; draw both at one resolution"
        )
    if len(other.records) != len(reference.records):
        raise EvaluationError(
            f"{other.folder} holds {len(other.records)} pictures and {reference.folder} "
            f"{len(reference.records)}: scores of different numbers are never compared; draw both from one "
            "list of prompts"
        )
    places = {_key(record): place for place, record in enumerate(other.records)}
    missing = [record for record in reference.records if _key(record) not in places]
    if missing:
        raise EvaluationError(
            f"{other.folder} and {reference.folder} come from different runs: {len(missing)} of "
            f"{len(reference.records)} pictures have no partner. {_differences(missing, other.records)}. "
            "Draw both from one list of prompts with one seed"
        )
    return tuple(places[_key(record)] for record in reference.records)


def check_counts(sets: Sequence[DrawnSet]) -> None:
    """Refuses sets of different sizes in one table.

    Raises:
        EvaluationError: they have different numbers of pictures.
    """
    counts = {str(drawn.folder): len(drawn.records) for drawn in sets}
    if len(set(counts.values())) > 1:
        raise EvaluationError(
            "scores of different numbers of pictures are never compared: "
            + ", ".join(f"{folder} holds {count}" for folder, count in counts.items())
            + "; draw all sets from one list of prompts"
        )


def notes(sets: Sequence[DrawnSet]) -> tuple[str, ...]:
    """What the names of sets don't tell: equal plans, equal pictures, other steps or another sampler."""
    found = []
    for place, first in enumerate(sets):
        for second in sets[place + 1 :]:
            names = f"{first.folder} and {second.folder}"
            if first.digests == second.digests:
                found.append(f"{names} hold the same pictures, byte for byte")
            elif _plan(first) is not None and _plan(first) == _plan(second):
                found.append(f"{names} were drawn with the same plan ({str(_plan(first))[:12]}…)")
    if len({_sampling(drawn) for drawn in sets}) > 1:
        each = "; ".join(f"{drawn.folder}: {_sampling(drawn)}" for drawn in sets)
        found.append(f"the sets differ in more than their plans: {each}")
    return tuple(found)


def _check_model(reference: DrawnSet, other: DrawnSet) -> None:
    ours, theirs = other.manifest.painter.model, reference.manifest.painter.model
    # The name is a folder's, which a copy of the same model may have another of.
    if ours.digest != theirs.digest:
        raise EvaluationError(
            f"{other.folder} was drawn by the model {ours.name} ({ours.digest[:12]}…) and {reference.folder} "
            f"by {theirs.name} ({theirs.digest[:12]}…): other weights draw other pictures, so the scores "
            "would say nothing about the plan; draw both with one model"
        )


def _sampling(drawn: DrawnSet) -> str:
    painter = drawn.manifest.painter
    return f"{painter.steps} {'step' if painter.steps == 1 else 'steps'} of {painter.scheduler}"


def _plan(drawn: DrawnSet) -> str | None:
    return drawn.manifest.painter.plan_digest


def _key(record: ImageRecord) -> tuple[int, str, int]:
    return record.index, record.prompt, record.seed


def _differences(missing: Sequence[ImageRecord], others: Sequence[ImageRecord]) -> str:
    by_index = {record.index: record for record in others}
    return "; ".join(_difference(record, by_index.get(record.index)) for record in missing[:_NAMED])


def _difference(record: ImageRecord, other: ImageRecord | None) -> str:
    if other is None:
        return f"Index {record.index} is in the second alone"
    if other.prompt != record.prompt:
        return f"Index {record.index} shows {other.prompt!r} in the first, {record.prompt!r} in the second"
    return f"Index {record.index} has seed {other.seed} in the first, {record.seed} in the second"
