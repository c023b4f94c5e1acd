"""The journal of a measurement: every finished layer is on the disk before the next one begins."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.compiler.sensitivity.header import Header
from mixdq.configs.documents import STRICT, parse, to_plain
from mixdq.configs.errors import EvaluationError, MachineError, StorageError
from mixdq.configs.layers import LayerName
from mixdq.configs.sensitivity import Metric, Operand

LayerScores = Mapping[Operand, Mapping[Metric, tuple[float, ...]]]
"""One score a width by operand and metric."""

_PATIENCE_S, _PAUSE_S = 6.0, 0.1
"""A killed command's child notices within a few seconds, in which it still holds the journal."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Entry:
    """A finished layer: its scores, and the seconds that it took."""

    layer: LayerName
    seconds: float
    scores: LayerScores


class Journal:
    """One line of JSON a layer behind a header, appended and flushed to the disk.

    Attributes:
        path: the file.
        header: the measurement's; None before `begin` if the file is new.
        done: the finished layers.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        self.header, entries, self._size = _read(path, handle)
        self.done = {entry.layer: entry for entry in entries}
        if len(self.done) < len(entries):
            raise _damaged(path, "a layer is there twice")

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, restart: bool) -> Iterator[Journal]:
        """Opens a journal for one process alone; a file without a finished line is removed at the end.

        Args:
            path: the file, which may not be there.
            restart: whether what it holds is dropped.

        Raises:
            MachineError: another process is at work on it.
            EvaluationError: it is damaged.
            StorageError: it can't be read or written.
        """
        handle = _locked(path)
        try:
            if restart:
                os.ftruncate(handle, 0)
            journal = cls(path, handle)
            try:
                yield journal
            finally:
                if not journal._size:
                    path.unlink(missing_ok=True)
        finally:
            os.close(handle)

    def begin(self, header: Header) -> None:
        """Writes the header, or compares it with the one that is there.

        Raises:
            EvaluationError: the journal is of another measurement.
            StorageError: it can't be written.
        """
        if self.header is None:
            self._append(to_plain(header))
            self.header = header
        header.check(self.header, str(self.path))

    def add(self, entry: Entry) -> None:
        """Appends a finished layer; it is on the disk when this returns.

        Raises:
            StorageError: it can't be written; the lines before are whole.
        """
        self._append(to_plain(entry))
        self.done[entry.layer] = entry

    def remove(self) -> None:
        """Removes the file, when all that it holds is elsewhere."""
        self.path.unlink(missing_ok=True)
        self._size = 0

    def _append(self, document: object) -> None:
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
                f"could not write {self.path}: {error.strerror or error}; the {len(self.done)} layers that "
                "it holds are kept. Free some space, then run the same command again: it goes on from there"
            ) from error
        self._size += len(data)


def finished_layers(path: Path) -> int:
    """How many layers a journal holds, without opening it for work; 0 if there is none."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return 0
    return max(0, len(lines) - 2)  # the header, and what follows the last line's end


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
            if path.exists() and path.stat().st_ino == os.fstat(handle).st_ino:
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


def _read(path: Path, handle: int) -> tuple[Header | None, list[Entry], int]:
    """Header, entries, and the bytes of the whole lines; a line that was not written to its end is none."""
    with os.fdopen(os.dup(handle), "rb") as file:
        file.seek(0)
        data = file.read()
    lines = data.split(b"\n")[:-1]
    documents = []
    for number, line in enumerate(lines, start=1):
        try:
            documents.append(json.loads(line, parse_constant=_refuse))
        except ValueError as error:
            # After a power cut the last lines may hold anything; what follows a damaged line is lost with it.
            if number == len(lines):
                break
            raise _damaged(path, f"line {number} is no JSON") from error
    size = sum(len(line) + 1 for line in lines[: len(documents)])
    if not documents:
        return None, [], 0
    header = parse(Header, documents[0], f"the first line of {path}", EvaluationError)
    entries = [
        parse(Entry, document, f"line {number} of {path}", EvaluationError)
        for number, document in enumerate(documents[1:], start=2)
    ]
    return header, entries, size


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no finite number")


def _damaged(path: Path, what: str) -> EvaluationError:
    return EvaluationError(f"{path} is damaged: {what}; drop it with --restart, or give another --out")
