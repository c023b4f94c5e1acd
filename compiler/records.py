"""The records of finished stages (`stages.json`): what was made, from what, in how long."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass

from mixdq.compiler.checks import Checks
from mixdq.configs.bundle import FileRecord
from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import MachineError, MixdqError, StorageError
from mixdq.configs.files import remove, sha256_of_text, write_text

STAGES_FILE = "stages.json"
_LOCK_FILE = ".lock"


@dataclass(frozen=True, slots=True, config=STRICT)
class StageRecord:
    """A finished stage.

    Attributes:
        name: the stage: `export/unet`.
        key: SHA-256 over everything that its result depends on.
        files: what it wrote.
        value: what later stages need to know of it, in JSON's terms.
        seconds: how long it took.
        peak_mib: the peak memory of the process that did it; None for stages of the main process.
    """

    name: str
    key: str
    files: tuple[FileRecord, ...]
    value: Any
    seconds: float
    peak_mib: float | None

    def digest_of(self, path: str) -> str:
        """The SHA-256 of a file of this stage."""
        return next(file.sha256 for file in self.files if file.path == path)

    @property
    def digests(self) -> list[str]:
        """The SHA-256 of all files, in order."""
        return [file.sha256 for file in self.files]


@dataclass(frozen=True, slots=True, config=STRICT)
class _Document:
    stages: tuple[StageRecord, ...]
    version: int = 1


class Book:
    """The records of the stages that write into one folder, kept in its `stages.json`.

    Attributes:
        root: the folder.
        seal: a file of the folder that vouches for all others; it goes before anything else changes.
    """

    def __init__(self, root: Path, seal: Path | None) -> None:
        self.root = root
        self.seal = seal
        self._records = _read(root / STAGES_FILE)
        self._checks = Checks(root)

    @classmethod
    @contextmanager
    def open(cls, root: Path, seal: Path | None = None) -> Iterator[Book]:
        """Opens a folder's book for one process alone, and removes what a killed run left half-written.

        Raises:
            MachineError: another process is at work in the folder.
            StorageError: the folder can't be written.
        """
        with _locked(root):
            sweep(root)
            book = cls(root, seal)
            try:
                yield book
            finally:
                book._checks.close()

    def find(self, name: str, key: str) -> StageRecord | None:
        """The record of a stage whose key is the same and whose files are unchanged."""
        record = self._records.get(name)
        if record is None or record.key != key:
            return None
        return record if self._checks.are_intact(record.files) else None

    def look_ahead(self, names: Iterable[str]) -> None:
        """Begins to read the files of these stages, in this order, before `find` asks for them."""
        for name in names:
            if name in self._records:
                self._checks.ask(self._records[name].files)

    def bytes_of(self, name: str) -> int:
        """The size of the files that a stage made the last time, as far as they are there."""
        record = self._records.get(name)
        paths = [self.root / file.path for file in record.files] if record is not None else []
        return sum(path.stat().st_size for path in paths if path.is_file())

    def begin(self) -> None:
        """Called before a stage changes the folder's files: breaks the seal, and ends the looking ahead."""
        self._checks.drop()
        if self.seal is not None:
            remove(self.seal)

    def add(self, record: StageRecord) -> None:
        """Records a finished stage; `stages.json` is written at once.

        Files that the stage made the last time, and that no stage makes now, are removed.
        """
        before = self._records.get(record.name)
        self._records[record.name] = record
        self._write()
        self._remove_files_of([] if before is None else [before])

    def prune(self, names: Iterable[str]) -> None:
        """Forgets every stage but those named, and removes the files that only the forgotten ones made."""
        wanted = set(names)
        gone = [record for name, record in self._records.items() if name not in wanted]
        if not gone:
            return
        self._records = {name: record for name, record in self._records.items() if name in wanted}
        self._remove_files_of(gone)
        self._write()

    def _remove_files_of(self, gone: Iterable[StageRecord]) -> None:
        """Removes the files of records that are none any more, but for those that others name too."""
        kept = {file.path for record in self._records.values() for file in record.files}
        for record in gone:
            for file in record.files:
                if file.path not in kept:
                    remove(self.root / file.path)

    def _write(self) -> None:
        write_text(self.root / STAGES_FILE, to_json(_Document(tuple(self._records.values()))))


def key_of(name: str, facts: Mapping[str, object]) -> str:
    """The key of a stage: SHA-256 over its name and everything that its result depends on."""
    return sha256_of_text(json.dumps({"stage": name, **facts}, sort_keys=True))


def sweep(root: Path) -> None:
    """Removes the temporary files of `configs.files.writing` that a killed process left in a folder."""
    for path in sorted(root.rglob(".*.part"), reverse=True):
        remove(path)


def _read(path: Path) -> dict[str, StageRecord]:
    """The records; none if the file is missing or damaged: then every stage is done again."""
    try:
        document = read_json(_Document, path, MixdqError)
    except MixdqError:
        return {}
    return {record.name: record for record in document.stages}


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(root / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(
            f"can't write into {root}: {error.strerror or error}; choose another folder"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise MachineError(
            f"another mixdq process is at work in {root}; wait until it is done, or choose another folder"
        ) from error
    finally:
        os.close(handle)
