"""Layer names as MixDQ's files write them: with `model.` before each, or without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from mixdq.configs.errors import PlanError
from mixdq.configs.layers import LayerName

PREFIX = "model."

T = TypeVar("T")


def prefixed_name(name: LayerName, prefixed: bool) -> str:
    """The name as a file writes it."""
    return f"{PREFIX}{name}" if prefixed else name


def read_names(entries: Mapping[str, T], path: Path) -> tuple[dict[LayerName, T], bool]:
    """The entries by layer, in the file's order, and whether the names had `model.` before them.

    Raises:
        PlanError: there are no entries, or some names have the prefix and others don't.
    """
    if not entries:
        raise PlanError(f"{path} names no layer; expected lines such as `{PREFIX}conv_in: 8`")
    prefixed = [name for name in entries if name.startswith(PREFIX)]
    if prefixed and len(prefixed) != len(entries):
        other = next(name for name in entries if not name.startswith(PREFIX))
        raise PlanError(
            f"{path} writes `{PREFIX}` before {len(prefixed)} of {len(entries)} names, but not before "
            f"{other}; write it before all of them or none"
        )
    return {LayerName(name.removeprefix(PREFIX)): value for name, value in entries.items()}, bool(prefixed)
