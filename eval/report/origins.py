"""Which figures can stand beside each other: those of one machine and one set of versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from mixdq.configs.latency_table import first_difference
from mixdq.eval.report.found import Document, Found


@dataclass(frozen=True, slots=True)
class Origin:
    """A machine with its packages.

    Attributes:
        letter: what the page calls it.
        machine: processor, GPU, system.
        versions: packages, of all its documents.
        unlike: the earlier origin of the same machine, and the first version in which they differ; empty if
            there is none.
    """

    letter: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    unlike: str = ""

    @property
    def in_words(self) -> str:
        """`AMD EPYC, 2 cores, no GPU, Linux x86_64, Python 3.11.7`."""
        known = dict(self.machine)
        processor, cores = known.pop("processor", "unknown processor"), known.pop("cores", "")
        gpu, system, python = known.pop("gpu", ""), known.pop("system", ""), known.pop("python", "")
        words = [
            processor,
            cores and f"{cores} cores",
            "no GPU" if gpu == "none" else gpu,
            system,
            python and f"Python {python}",
            *(f"{name} {text}" for name, text in known.items()),
        ]
        return ", ".join(filter(None, words)) + self.unlike


class Origins:
    """The origins of all documents that name theirs."""

    def __init__(self, found: Found) -> None:
        self._origins: list[Origin] = []
        self._of: dict[Path, str] = {}
        for _, document in found.documents():
            machine = getattr(document.content, "machine", None)
            versions = getattr(document.content, "versions", {})
            if isinstance(machine, Mapping) and isinstance(versions, Mapping):
                self._of[document.path] = self._place(dict(machine), dict(versions))

    def __iter__(self) -> Iterator[Origin]:
        return iter(self._origins)

    def __len__(self) -> int:
        return len(self._origins)

    def letter(self, document: Document[Any]) -> str:
        """Of a document; empty if it doesn't say where it was made."""
        return self._of.get(document.path, "")

    def apart(self, documents: Sequence[Document[Any]]) -> list[tuple[Origin, list[Document[Any]]]]:
        """Documents by origin, each origin that has any once."""
        grouped = (
            (origin, [one for one in documents if self.letter(one) == origin.letter])
            for origin in self._origins
        )
        return [(origin, own) for origin, own in grouped if own]

    def _place(self, machine: Mapping[str, str], versions: Mapping[str, str]) -> str:
        unlike = ""
        for place, origin in enumerate(self._origins):
            if origin.machine != machine:
                continue
            shared = {name: text for name, text in versions.items() if name in origin.versions}
            difference = first_difference({name: origin.versions[name] for name in shared}, shared)
            if not difference:
                merged = {**origin.versions, **versions}
                self._origins[place] = Origin(origin.letter, machine, merged, origin.unlike)
                return origin.letter
            unlike = unlike or f" (as {origin.letter}, with other versions: {difference})"
        letter = _letter(len(self._origins))
        self._origins.append(Origin(letter, machine, versions, unlike))
        return letter


def _letter(place: int) -> str:
    turn, rest = divmod(place, len(ascii_uppercase))
    return ascii_uppercase[rest] + (str(turn + 1) if turn else "")
