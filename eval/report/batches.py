"""Which measurements share a table: those of one machine, of which none repeats another."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from mixdq.eval.report.found import Document
from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Block, Heading, Prose
from mixdq.eval.report.words import listed

APART = (
    "Figures of different machines, or of different versions of the packages, are never put into one table "
    "or chart."
)


class Row(Protocol):
    """A measured figure."""

    @property
    def identity(self) -> Hashable:
        """What was measured."""


class Rows(Protocol):
    """A table of figures."""

    @property
    def rows(self) -> Sequence[Row]:
        """The figures, each identity once."""


T = TypeVar("T", bound=Rows)


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """Documents whose figures share one table.

    Attributes:
        machine: its letter.
        key: tells the batch from the others: `A`, and of further ones of the machine `A-2`.
        above: what stands above it: a heading where there are several batches.
        tables: what the documents say.
    """

    machine: str
    key: str
    above: tuple[Block, ...]
    tables: tuple[T, ...]


def batches(results: Results, documents: Sequence[Document[T]]) -> Iterator[Batch[T]]:
    """Documents by machine, and a machine's so that none has another figure of what its batch measured.

    A measurement that was repeated contradicts nobody, but has no place in the same table.
    """
    machines = results.origins.apart(documents)
    above: tuple[Block, ...] = (Prose(APART, "soft"),) if len(machines) > 1 else ()
    for origin, own in machines:
        parts = without_repeats(own)
        for place, part in enumerate(parts, start=1):
            words = [f"Machine {origin.letter}"] if len(machines) > 1 else []
            words += [listed(document.name for document in part)] if len(parts) > 1 else []
            yield Batch(
                origin.letter,
                origin.letter if place == 1 else f"{origin.letter}-{place}",
                (*above, Heading(": ".join(words))) if words else above,
                tuple(document.content for document in part),
            )
            above = ()


def without_repeats(documents: Sequence[Document[T]]) -> list[list[Document[T]]]:
    """Documents in groups; each joins the first in which no other has another figure of the same thing."""
    groups: list[tuple[list[Document[T]], dict[Hashable, Row]]] = []
    for document in documents:
        rows = {row.identity: row for row in document.content.rows}
        for group, known in groups:
            if all(known.get(identity, row) == row for identity, row in rows.items()):
                group.append(document)
                known |= rows
                break
        else:
            groups.append(([document], rows))
    return [group for group, _ in groups]
