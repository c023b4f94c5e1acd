"""A file that keeps every line that was finished, whatever ends the process that writes it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mixdq.configs.errors import EvaluationError, MachineError, StorageError

_PATIENCE_S, _PAUSE_S = 6.0, 0.1
"""A killed command's child notices within a few seconds, in which it still holds the journal."""


class JournalFile:
    """Documents of JSON behind a header, one a line, appended and flushed to the disk by one process.

    Attributes:
        path: the file.
        documents: what it held as it was opened, the header first; a last line that was not written to its
            end is none.
    """

    def __init__(self, path: Path, handle: int, things: str) -> None:
        self.path = path
        self._handle, self._things = handle, things
        self.documents, self._size = _read(path, handle)
        self._lines = len(self.documents)

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, restart: bool, things: str) -> Iterator[JournalFile]:
        """Opens a file for one process alone; one without a whole line is removed, however the block ends.

        Args:
            path: the file, which may not be there.
            restart: whether what it holds is dropped.
            things: what a line behind the header is of, in the plural, for messages.

        Raises:
            MachineError: another process is at work on it.
            EvaluationError: it is damaged.
            StorageError: it can't be read or written.
        """
        handle = _locked(path)
        try:
            if restart:
                os.ftruncate(handle, 0)
            file = cls(path, handle, things)
            try:
                yield file
            finally:
                if not file._size:
                    path.unlink(missing_ok=True)
        finally:
            os.close(handle)

    def append(self, document: object) -> None:
        """Appends a line, which is on the disk when this returns.

        Raises:
            StorageError: it can't be written; the lines before are whole.
        """
        data = (json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n").encode()
        try:
            os.ftruncate(self._handle, self._size)
            os.lseek(self._handle, self._size, os.SEEK_SET)
            left = memoryview(data)
            while left:
                left = left[os.write(self._handle, left) :]
            os.fsync(self._handle)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._handle, self._size)
            raise StorageError(
                f"could not write {self.path}: {error.strerror or error}; the {max(0, self._lines - 1)} "
                f"{self._things} that it holds are kept. Free some space, then run the same command again: "
                "it goes on from there"
            ) from error
        self._size += len(data)
        self._lines += 1

    def remove(self) -> None:
        """Removes the file, when all that it holds is elsewhere."""
        self.path.unlink(missing_ok=True)
        self._size = 0


def lines_behind_header(path: Path) -> int:
    """How many a journal holds, without opening it for work; 0 if there is none."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return 0
    return max(0, len(lines) - 2)  # the header, and what follows the last line's end


def damaged(path: Path, what: str) -> EvaluationError:
    """The error of a journal that can't be gone on with."""
    return EvaluationError(f"{path} is damaged: {what}; drop it with --restart, or give another --out")


def _locked(path: Path) -> int:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StorageError(
                f"can't write {path}: {error.strerror or error}; choose another --out"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one who held it may have removed the file since.
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(handle).st_ino:
                    return handle
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(handle)
                raise MachineError(
                    f"another mixdq process is at work on {path}; wait until it is done, or choose another "
                    "--out"
                ) from None
        os.close(handle)
        time.sleep(_PAUSE_S)


def _read(path: Path, handle: int) -> tuple[list[object], int]:
    """The documents, and the bytes of their lines; a line that was not written to its end is none."""
    with os.fdopen(os.dup(handle), "rb") as file:
        file.seek(0)
        lines = file.read().split(b"\n")[:-1]
    documents: list[object] = []
    for number, line in enumerate(lines, start=1):
        try:
            documents.append(json.loads(line, parse_constant=_refuse))
        except ValueError as error:
            # After a power cut the last line may hold anything.
            if number == len(lines):
                break
            raise damaged(path, f"line {number} is no JSON") from error
    return documents, sum(len(line) + 1 for line in lines[: len(documents)])


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no finite number")
