"""Figures of layers, maps and programmes, which no pictures are needed for (`structure.json`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text


@dataclass(frozen=True, slots=True, config=STRICT)
class StructureFigure:
    """One figure.

    Attributes:
        name: what it is.
        of: the model, file or programme that it is of.
        value: it.
        unit: empty for counts and ratios.
    """

    name: str
    of: str
    value: float
    unit: str = ""


@dataclass(frozen=True, slots=True, config=STRICT)
class StructureTable:
    """What was counted and solved (`structure.json`).

    Attributes:
        figures: each name once for what it is of.
        sources: SHA-256 of the files that were read, by name.
        command: as it was given.
        machine: where.
        versions: packages, by name.
    """

    figures: tuple[StructureFigure, ...]
    sources: Mapping[str, str]
    command: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    version: int = 1

    def write(self, path: Path) -> None:
        """Writes the table."""
        write_text(path, to_json(self))

    @classmethod
    def read(cls, path: Path) -> StructureTable:
        """Reads a table.

        Raises:
            EvaluationError: the file has another form.
            StorageError: there is none.
        """
        return read_json(cls, path, EvaluationError)
