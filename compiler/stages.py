"""Stages: the steps of a run, each of which is done again only if what it depends on has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any, Protocol

from mixdq.compiler.records import Book, StageRecord
from mixdq.compiler.worker import Call, Progress, Report
from mixdq.configs.bundle import FileRecord

Results = Mapping[str, StageRecord]
"""The records of the stages that are done, by name."""


class Lane(Enum):
    """Where a stage runs.

    `HERE`: in the main process; for what takes milliseconds.
    `FRESH`: in a child process of its own.
    `TORCH`: in a child process that other stages of this lane use after it, because importing torch takes
    seconds.
    """

    HERE = auto()
    FRESH = auto()
    TORCH = auto()


@dataclass(frozen=True, slots=True)
class Made:
    """What a stage's function returns.

    Attributes:
        files: the files that it wrote.
        value: what later stages need to know of them, in JSON's terms.
    """

    files: tuple[Path, ...]
    value: Any = None


@dataclass(frozen=True, slots=True)
class Hashed:
    """What a stage made, by digest: the files, and `Made.value`."""

    files: tuple[FileRecord, ...]
    value: Any


def make(report: Report, root: Path, call: Call[Made]) -> Hashed:
    """Does a stage's work and hashes its files, which lie in the folder `root`.

    Both in one process, its own, because the main one has to look after the others meanwhile.
    """
    made = call.function(report, *call.arguments)
    report("hashing", 0, None)
    return Hashed(tuple(FileRecord.of(root, path) for path in made.files), made.value)


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a run.

    Attributes:
        name: unique, for people too: `export unet`.
        book: the folder that it writes into.
        lane: where it runs.
        needs: the stages that must be done before.
        facts: everything that its result depends on, given the records of the stages before it.
        call: the work, given the same; the function returns `Made`.
        memory_mib: the expected peak of its process. It runs beside others only if there is memory for all.
        disk_bytes: the expected size of its files.

    Both are 0 for a stage that needs next to nothing: it is then never what the machine is too small for.
    """

    name: str
    book: Book
    lane: Lane
    needs: tuple[str, ...]
    facts: Callable[[Results], Mapping[str, object]]
    call: Callable[[Results], Call[Made]]
    memory_mib: float = field(default=0.0, kw_only=True)
    disk_bytes: int = field(default=0, kw_only=True)


class Watch(Protocol):
    """Is told how a run goes."""

    def started(self, name: str) -> None:
        """A stage began."""

    def progressed(self, name: str, progress: Progress) -> None:
        """A stage that runs said how far it is."""

    def finished(self, record: StageRecord) -> None:
        """A stage was done."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run.

    Attributes:
        results: the records of all stages, in their order.
        ran: the names of those that were not up to date.
        peak_mib: an upper bound on the memory of the child processes together: the largest sum of the
            peaks of stages that ran side by side.
    """

    results: Results
    ran: tuple[str, ...]
    peak_mib: float
