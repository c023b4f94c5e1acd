"""The journal of a measurement: every finished layer is on the disk before the next one begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.compiler.sensitivity.header import Header
from mixdq.compiler.sensitivity.journal_file import JournalFile, damaged, lines_behind_header
from mixdq.configs.documents import STRICT, parse, to_plain
from mixdq.configs.errors import EvaluationError
from mixdq.configs.layers import LayerName
from mixdq.configs.sensitivity import LayerScores


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

    def __init__(self, file: JournalFile) -> None:
        self._file, self.path = file, file.path
        self.header, entries = _parse(file)
        self.done = {entry.layer: entry for entry in entries}
        if len(self.done) < len(entries):
            raise damaged(file.path, "a layer is there twice")

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
        with JournalFile.open(path, restart=restart, things="layers") as file:
            yield cls(file)

    def begin(self, header: Header) -> None:
        """Writes the header, or compares it with the one that is there.

        Raises:
            EvaluationError: the journal is of another measurement.
            StorageError: it can't be written.
        """
        if self.header is None:
            self._file.append(to_plain(header))
            self.header = header
        header.check(self.header, str(self.path))

    def add(self, entry: Entry) -> None:
        """Appends a finished layer; it is on the disk when this returns.

        Raises:
            StorageError: it can't be written; the lines before are whole.
        """
        self._file.append(to_plain(entry))
        self.done[entry.layer] = entry

    def remove(self) -> None:
        """Removes the file, when all that it holds is elsewhere."""
        self._file.remove()


def finished_layers(path: Path) -> int:
    """How many layers a journal holds, without opening it for work; 0 if there is none."""
    return lines_behind_header(path)


def _parse(file: JournalFile) -> tuple[Header | None, list[Entry]]:
    if not file.documents:
        return None, []
    header = parse(Header, file.documents[0], f"the first line of {file.path}", EvaluationError)
    return header, [
        parse(Entry, document, f"line {number} of {file.path}", EvaluationError)
        for number, document in enumerate(file.documents[1:], start=2)
    ]
