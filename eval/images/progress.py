"""A folder of pictures while it is drawn: one process at work, and a manifest that keeps up."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock

from mixdq.configs.errors import MachineError, MixdqError, StorageError
from mixdq.configs.files import remove
from mixdq.eval.image_set import MANIFEST_FILE, ImageRecord, ImageSet

_LOCK_FILE = ".lock"
_INTERVAL_S = 2.0
_PART_OF_TIME = 20
"""The manifest of many pictures takes long to write: at most a twentieth of the time goes into it."""


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

    Folders that it makes are removed if the block fails before there is a picture.

    Raises:
        MachineError: another process draws into it.
        StorageError: it can't be written.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
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
    except BaseException:
        if made:
            _remove_empty(made)
        raise
    finally:
        os.close(handle)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Removes a set without a picture, and the folders around it if nothing else is there."""
    ours = {_LOCK_FILE, MANIFEST_FILE}
    with suppress(OSError):  # what ended the run says more
        if {path.name for path in folders[0].iterdir()} <= ours:
            for name in ours:
                remove(folders[0] / name)
            for folder in folders:
                folder.rmdir()
