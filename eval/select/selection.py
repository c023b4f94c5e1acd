"""The document of a selection (`selection.json`)."""

from __future__ import annotations

from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.eval.select.points import Origin, Point
from mixdq.eval.select.wishes import Violation, Wishes


@dataclass(frozen=True, slots=True, config=STRICT)
class Judged:
    """A point, and what speaks against it.

    Attributes:
        point: with its figures.
        pareto: whether no other point beats it.
        violations: the wishes that it does not meet; empty if it meets all.
    """

    point: Point
    pareto: bool
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True, config=STRICT)
class Selection:
    """A choice among the cells of grids.

    Attributes:
        wishes: what was asked for.
        metric: that quality was read from; None if nothing was scored.
        points: all of them.
        chosen: None if no point meets all wishes.
        nearest: the point that is off by the least part of a wish; None if one was chosen.
        reasons: in words: what each wish excluded, and why this one.
        origin: the grids.
    """

    wishes: Wishes
    metric: str | None
    points: tuple[Judged, ...]
    chosen: Point | None
    nearest: Judged | None
    reasons: tuple[str, ...]
    origin: Origin
    version: int = 1

    def write(self, path: Path) -> None:
        """Writes the document."""
        write_text(path, to_json(self))

    @classmethod
    def read(cls, path: Path) -> Selection:
        """Reads a document.

        Raises:
            EvaluationError: the file has another form.
            StorageError: there is none.
        """
        return read_json(cls, path, EvaluationError)
