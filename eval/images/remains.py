"""A folder that a run finds: what of its set is there already, and whether it may be added to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file
from mixdq.configs.layers import ModelIdentity
from mixdq.eval.image_set import MANIFEST_FILE, Arrangement, ImageRecord, ImageSet, Painter
from mixdq.eval.images.order import Order, order_digest
from mixdq.eval.images.read import refuse_strangers

_NAMED = 5
"""At most so many files are named in one error."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What a folder holds of a set.

    Attributes:
        records: of pictures that are there and undamaged.
        damaged: names of files that the manifest has, and that are missing or changed.
        arrangements: how the manifest's pictures were computed; empty where it has none.
    """

    records: tuple[ImageRecord, ...]
    damaged: tuple[str, ...]
    arrangements: tuple[Arrangement, ...]


def find_remains(folder: Path, painter: Painter, pictures: Sequence[Order]) -> Remains:
    """What is there of a set, each file compared with its digest.

    A picture that the manifest does not have yet (the process was killed) is drawn again.

    Raises:
        EvaluationError: the folder's manifest is of another run, or there are pictures of none; or pictures
            are missing of a set that does not say how the others were computed.
    """
    files = {picture.file for picture in pictures}
    if not (folder / MANIFEST_FILE).is_file():
        refuse_strangers(folder, files)
        return Remains((), (), ())
    found = ImageSet.read(folder)
    if differences := _differences(found, painter, pictures):
        raise EvaluationError(
            f"{folder} holds pictures of another run: {'; '.join(differences)}; choose another --out, or "
            "remove the folder"
        )
    refuse_strangers(folder, files)
    recorded = {record.index: record for record in found.images}
    there = [
        (record, _is_intact(folder, record, picture))
        for picture in pictures
        if (record := recorded.get(picture.index)) is not None
    ]
    records = tuple(record for record, intact in there if intact)
    if found.images and not found.arrangements and len(records) < len(pictures):
        raise EvaluationError(
            f"{folder} was begun by an earlier version, whose manifest does not say with which threads and "
            "batch: more pictures would differ in their last bits; choose another --out, or remove the folder"
        )
    return Remains(
        records,
        tuple(record.file for record, intact in there if not intact),
        found.arrangements if found.images else (),
    )


def check_surroundings(folder: Path, machine: Mapping[str, str], versions: Mapping[str, str]) -> None:
    """Refuses to add pictures to a set that another machine, or other versions, began.

    Raises:
        EvaluationError: names what differs.
    """
    if not (folder / MANIFEST_FILE).is_file():
        return
    found = ImageSet.read(folder)
    if not found.images:
        return
    before, now = {**found.machine, **found.versions}, {**machine, **versions}
    changed = [
        f"{name} was {before.get(name, 'not there')}, is {now.get(name, 'not there')}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise EvaluationError(
            f"{folder} was begun elsewhere: {'; '.join(changed)}; pictures of both would differ in their "
            "last bits: choose another --out, or remove the folder"
        )


def _is_intact(folder: Path, record: ImageRecord, picture: Order) -> bool:
    same = (record.prompt, record.seed, record.file) == (picture.prompt, picture.seed, picture.file)
    path = folder / picture.file
    return same and path.is_file() and sha256_of_file(path) == record.sha256


def _differences(found: ImageSet, painter: Painter, pictures: Sequence[Order]) -> list[str]:
    """What sets a manifest apart from what is asked for now, in words."""
    differences = []
    for field in fields(painter):
        before, now = getattr(found.painter, field.name), getattr(painter, field.name)
        if before == now:
            continue
        if field.name == "engines":
            differences.append(f"its engines differ in {_other_files(before, now)}")
        else:
            differences.append(f"its {field.name} was {_brief(before)}, is {_brief(now)}")
    if found.count != len(pictures):
        differences.append(f"{found.count} pictures were asked for, now {len(pictures)}")
    if found.prompts_digest != order_digest(pictures):
        differences.append(_other_prompts(found, pictures))
    return differences


def _other_prompts(found: ImageSet, pictures: Sequence[Order]) -> str:
    orders = {picture.index: picture for picture in pictures}
    for record in found.images:
        order = orders.get(record.index)
        if order is None:
            return f"picture {record.index} is not asked for now"
        if order.prompt != record.prompt:
            return f"prompt {record.index} was {record.prompt!r}, is {order.prompt!r}"
        if order.seed != record.seed:
            return f"the seed of picture {record.index} was {record.seed}, is {order.seed}"
    return "its list of prompts and seeds was another"


def _other_files(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The files whose digests differ, or that one side alone has."""
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _brief(value: object) -> str:
    text = f"{value.name} ({value.digest[:12]}…)" if isinstance(value, ModelIdentity) else str(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
