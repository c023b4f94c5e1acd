"""The points of a sweep, read back from the CSV that `mixdq-compile allocate` writes."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from mixdq.compiler.allocate.sweep import Point
from mixdq.configs.errors import EvaluationError, StorageError
from mixdq.configs.sensitivity import Operand

_COLUMNS = [field.name for field in fields(Point)]
_TRUTHS = {"True": True, "False": False}
_FLAGS = ("feasible", "proven", "on_frontier")


def read_points(path: Path) -> tuple[Point, ...]:
    """All points of a sweep, in the file's order; at least one.

    Raises:
        EvaluationError: another form than `allocate --sweep` and `--sweep-ratios` write.
        StorageError: the file can't be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            columns, rows = reader.fieldnames, list(reader)
    except OSError as error:
        raise StorageError(f"could not read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{path} is no CSV: {error}; {_MAKE_IT}") from error
    if columns != _COLUMNS:
        found = ", ".join(columns or ()) or "none"
        raise EvaluationError(
            f"{path} holds no points of a sweep: expected the columns {', '.join(_COLUMNS)}, found "
            f"{found[:200]}; {_MAKE_IT}"
        )
    if not rows:
        raise EvaluationError(f"{path} holds no points; {_MAKE_IT}")
    return tuple(_point(row, f"{path}, line {number}") for number, row in enumerate(rows, start=2))


_MAKE_IT = "write it with `mixdq-compile allocate --sweep N` or `--sweep-ratios FROM:TO:COUNT`"


def _point(row: Mapping[str | None, str | None], where: str) -> Point:
    try:
        cells = {name: (row[name] or "").strip() for name in _COLUMNS}
        operand = Operand(cells.pop("operand"))
        flags = {name: _TRUTHS[cells.pop(name)] for name in _FLAGS}
        point = Point(operand=operand, **flags, **{name: float(cell) for name, cell in cells.items()})  # type: ignore[arg-type]
    except (KeyError, ValueError) as error:
        raise EvaluationError(f"{where} is no point of a sweep: {error}; {_MAKE_IT}") from error
    known = [point.ratio, point.content_budget, point.quality_budget]
    if point.feasible:
        known += [point.mean_bits, point.content_score, point.quality_score, point.objective]
    if None in row or not all(map(math.isfinite, known)):
        raise EvaluationError(
            f"{where} is no point of a sweep: a number is missing or not finite; {_MAKE_IT}"
        )
    return point
