"""Typed documents: frozen dataclasses to and from JSON and YAML, checked by pydantic at the border."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from yaml.constructor import ConstructorError

from mixdq.configs.errors import MixdqError, StorageError

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
"""Configuration of every document type: unknown fields and non-finite numbers are refused."""

T = TypeVar("T")


def parse(kind: type[T], data: object, source: str, error: type[MixdqError]) -> T:
    """Checks plain data against a document type.

    Raises:
        error: the data does not have the type's form; the first three faults are named.
    """
    try:
        return _adapter(kind).validate_python(data)
    except ValidationError as fault:
        raise error(f"{source} is not a valid {_noun(kind)}: {_faults(fault)}") from fault


def to_json(value: object) -> str:
    """Canonical JSON of a document: two spaces, the fields' own order, a final newline."""
    plain = _adapter(type(value)).dump_python(value, mode="json")
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def to_plain(value: object) -> Any:
    """A document as dictionaries, lists, strings and numbers."""
    return _adapter(type(value)).dump_python(value, mode="json")


def read_json(kind: type[T], path: Path, error: type[MixdqError]) -> T:
    """Reads and checks a JSON document.

    Raises:
        error: the file is no JSON or has the wrong form.
        StorageError: the file can't be read.
    """
    return parse(kind, _load(path, json.loads, "JSON", error), str(path), error)


def read_yaml(kind: type[T], path: Path, error: type[MixdqError]) -> T:
    """Reads and checks a YAML document; a key that occurs twice is refused.

    Raises:
        error: the file is no YAML, repeats a key or has the wrong form.
        StorageError: the file can't be read.
    """
    return parse(kind, _load(path, _parse_yaml, "YAML", error), str(path), error)


def _load(path: Path, parser: Callable[[str], object], form: str, error: type[MixdqError]) -> object:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as fault:
        raise StorageError(f"{path} does not exist") from fault
    except OSError as fault:
        raise StorageError(f"could not read {path}: {fault.strerror or fault}") from fault
    except UnicodeDecodeError as fault:
        raise error(f"{path} is not {form}: it is no UTF-8 text ({fault.reason})") from fault
    try:
        return parser(text)
    # Beside their own errors both parsers let through Python's: a date that is none, a number of 5000 digits,
    # brackets nested too deep.
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        reason = " ".join(str(fault).split())
        raise error(f"{path} is not valid {form}: {reason}") from fault


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses repeated keys, which YAML's own rules forbid and PyYAML lets pass."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise ConstructorError(None, None, "a list or mapping is no key", key_node.start_mark)
            if key in seen:
                raise ConstructorError(None, None, f"the key {key!r} occurs twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _parse_yaml(text: str) -> object:
    return yaml.load(text, Loader=_UniqueKeyLoader)


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _noun(kind: type[Any]) -> str:
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in kind.__name__)
    return words.strip()


def _faults(error: ValidationError) -> str:
    faults = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'document'}: {fault['msg']}"
        for fault in error.errors()
    ]
    more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
    return "; ".join(faults[:3]) + more
