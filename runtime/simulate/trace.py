"""Recorded arrivals: a CSV file, a line a request."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mixdq.configs.errors import EvaluationError, StorageError
from mixdq.runtime.simulate.calls import Call

_COLUMNS = ("arrival_s", "size", "objective_ms", "priority")


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals as they were recorded.

    Attributes:
        file: the file's name.
        recorded: in order of time, the first at 0.
    """

    file: str
    recorded: tuple[Call, ...]

    @property
    def name(self) -> str:
        """`trace monday.csv`."""
        return f"trace {self.file}"

    @property
    def rate_per_s(self) -> float:
        """The mean from the first to the last; 0 if they came at once."""
        span_s = self.recorded[-1].at_s
        return (len(self.recorded) - 1) / span_s if span_s else 0.0

    def calls(self, random: Random) -> Iterator[Call]:
        """What was recorded; draws nothing."""
        return iter(self.recorded)


def read_trace(path: Path) -> Trace:
    """Reads a trace.

    The column `arrival_s` holds seconds from any beginning. Further columns may be there, empty where a line
    has nothing to say: `size` (pixels or `auto`), `objective_ms`, `priority`.

    Raises:
        EvaluationError: no such column, no line, or a cell that is no number.
        StorageError: the file can't be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            if "arrival_s" not in columns or set(columns) - set(_COLUMNS):
                found = ", ".join(columns) or "none"
                raise EvaluationError(
                    f"{path} is no trace: its columns are {found}; expected arrival_s and, if known, "
                    f"{', '.join(_COLUMNS[1:])}"
                )
            calls = [_call(path, line, row) for line, row in enumerate(reader, start=2)]
    except OSError as error:
        raise StorageError(f"could not read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{path} is no CSV file: {error}") from error
    if not calls:
        raise EvaluationError(f"{path} has no arrivals; record at least one")
    calls.sort(key=lambda call: call.at_s)
    first_s = calls[0].at_s
    return Trace(path.name, tuple(call._replace(at_s=call.at_s - first_s) for call in calls))


def _call(path: Path, line: int, row: dict[str, str | None]) -> Call:
    if None in row:  # where `DictReader` puts them
        raise EvaluationError(f"{path}, line {line}: it has more cells than columns")
    try:
        at_s = float(row["arrival_s"] or "nan")
        size = row.get("size") or "auto"
        objective = row.get("objective_ms")
        call = Call(
            at_s,
            None if size == "auto" else int(size),
            float(objective) / 1e3 if objective else None,
            int(row.get("priority") or 0),
        )
    except (ValueError, TypeError) as error:
        raise EvaluationError(f"{path}, line {line}: {error}") from error
    if not math.isfinite(at_s) or (call.objective_s is not None and not call.objective_s > 0):
        raise EvaluationError(f"{path}, line {line}: times are finite numbers, objectives above 0")
    return call
