"""A document as flat rows, in which a claim's figure is looked up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from fnmatch import fnmatchcase
from statistics import fmean

from mixdq.configs.claim import Wanted

Scalar = str | int | float | bool | None
Row = Mapping[str, Scalar]


def rows_of(content: object, path: str) -> Iterator[Row]:
    """The rows of a document's lists, each with what is around it.

    A field of a field is called `costs.bops`; a list of numbers gives its mean, `sqnr_db.mean`, and its
    parts, `paper_fid.0`. Inner fields hide outer ones of the same name.

    Args:
        content: a dataclass, mapping or sequence of them, to any depth.
        path: the lists to go through, outermost first: `rows.scores`; empty if the content is one list, or
            one row.
    """
    nodes: list[tuple[dict[str, Scalar], object]] = [({}, content)]
    for name in path.split(".") if path else [""]:
        nodes = [pair for around, node in nodes for pair in _into(around, node, name)]
    for around, node in nodes:
        yield around | _flat(node)


def matching(rows: Iterator[Row], where: Mapping[str, Wanted]) -> Iterator[Row]:
    """The rows that have what is wanted; a row without the field does not."""
    for row in rows:
        if all(_is(row.get(field), wanted) for field, wanted in where.items()):
            yield row


def number(row: Row, name: str) -> float | None:
    """A field as a number; None if there is none."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else None


def _into(around: dict[str, Scalar], node: object, name: str) -> Iterator[tuple[dict[str, Scalar], object]]:
    """The elements of a node's list, or of the node itself if it is one."""
    if not name:
        inside: object = node
    else:
        around = around | _flat(node)
        inside = _fields(node).get(name)
    if isinstance(inside, Sequence) and not isinstance(inside, str):
        yield from ((around, each) for each in inside)
    elif inside is not None:
        yield around, inside


def _flat(node: object) -> dict[str, Scalar]:
    """The scalars of a node, those of its fields with dots."""
    found: dict[str, Scalar] = {}
    for name, value in _fields(node).items():
        if isinstance(value, Enum):
            found[name] = value.value
        elif value is None or isinstance(value, str | int | float):
            found[name] = value
        elif isinstance(value, Sequence):
            found |= {f"{name}.{key}": each for key, each in _of_list(value).items()}
        else:
            found |= {f"{name}.{key}": each for key, each in _flat(value).items()}
    return found


def _of_list(values: Sequence[object]) -> dict[str, Scalar]:
    parts = {str(place): each for place, each in enumerate(values) if isinstance(each, str | int | float)}
    numbers = [each for each in parts.values() if isinstance(each, int | float)]
    if not numbers or len(numbers) < len(values):
        return dict(parts)
    return {**parts, "mean": fmean(numbers)}


def _fields(node: object) -> Mapping[str, object]:
    if isinstance(node, Mapping):
        return {str(key): value for key, value in node.items()}
    if is_dataclass(node):
        return {field.name: getattr(node, field.name) for field in fields(node)}
    return {}


def _is(value: Scalar, wanted: Wanted) -> bool:
    if isinstance(wanted, tuple):
        return any(_is(value, each) for each in wanted)
    if isinstance(wanted, str) and isinstance(value, str):
        return fnmatchcase(value, wanted)
    return value == wanted
