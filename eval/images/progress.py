"""A folder of pictures while it is drawn: what is there already, and a manifest that keeps up."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from threading import Lock

from mixdq.configs.documents import to_plain
from mixdq.configs.errors import EvaluationError, MachineError, MixdqError, StorageError
from mixdq.configs.files import remove, sha256_of_file
from mixdq.eval.image_set import MANIFEST_FILE, ImageRecord, ImageSet, Painter
from mixdq.eval.images.order import Order, order_digest
from mixdq.eval.images.read import refuse_strangers

_LOCK_FILE = ".lock"
_INTERVAL_S = 2.0
_PART_OF_TIME = 20
"""The manifest of many pictures takes long to write: at most a twentieth of the time goes into it."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What a folder holds of a set.

    Attributes:
        records: of pictures that are there and undamaged.
        damaged: names of files that the manifest has, and that are missing or changed.
    """

    records: tuple[ImageRecord, ...]
    damaged: tuple[str, ...]


class SetProgress:
    """The manifest of a set that grows; a context manager that writes it as it stands, whatever happens."""

    def __init__(self, folder: Path, images: ImageSet, report: Callable[[int, int], None]) -> None:
        """Begins with the pictures of `images`.

        Args:
            folder: where they are.
            images: the set so far.
            report: called with the number of pictures that are there, and of all.
        """
        self._folder, self._images, self._report = folder, images, report
        self._records = {record.index: record for record in images.images}
        self._lock = Lock()
        self._written_at, self._took_s = -float("inf"), 0.0

    def add(self, record: ImageRecord) -> None:
        """Notes a picture whose file is written; the manifest follows within seconds. Threads may call it."""
        with self._lock:
            self._records[record.index] = record
            self._report(len(self._records), self._images.count)
            if time.monotonic() - self._written_at > max(_INTERVAL_S, _PART_OF_TIME * self._took_s):
                self._write()

    def _write(self) -> None:
        began = time.monotonic()
        records = tuple(self._records[index] for index in sorted(self._records))
        replace(self._images, images=records).write(self._folder)
        self._written_at = time.monotonic()
        self._took_s = self._written_at - began

    def __enter__(self) -> SetProgress:
        # Written before the first picture: the next run knows by it whose the pictures are.
        self._write()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._write()
            return
        with suppress(MixdqError):  # the error that ended it says more than that of a full disk
            self._write()


@contextmanager
def at_work_in(folder: Path) -> Iterator[None]:
    """Keeps the folder to one process, and clears what one that was killed left half-written.

    Raises:
        MachineError: another process draws into it.
        StorageError: it can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(
            f"can't write into {folder}: {error.strerror or error}; choose another folder"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for leftover in folder.glob(".*.part"):
            remove(leftover)
        yield
    except BlockingIOError as error:
        raise MachineError(
            f"another mixdq process draws into {folder}; wait until it is done, or choose another folder"
        ) from error
    finally:
        os.close(handle)


def find_remains(folder: Path, painter: Painter, pictures: Sequence[Order]) -> Remains:
    """What is there of a set, each file compared with its digest.

    A picture that the manifest does not have yet (the process was killed) is drawn again.

    Raises:
        EvaluationError: the folder's manifest is of another run, or there are pictures of none.
    """
    files = {picture.file for picture in pictures}
    if not (folder / MANIFEST_FILE).is_file():
        refuse_strangers(folder, files)
        return Remains((), ())
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
    return Remains(
        tuple(record for record, intact in there if intact),
        tuple(record.file for record, intact in there if not intact),
    )


def check_surroundings(folder: Path, machine: dict[str, str], versions: dict[str, str]) -> None:
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
        if before != now:
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


def _brief(value: object) -> str:
    plain = to_plain(value) if hasattr(value, "__dataclass_fields__") else value
    text = str(plain)
    return text if len(text) <= 100 else f"{text[:100]}…"
