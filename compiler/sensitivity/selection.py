"""Which layers a run measures."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from mixdq.configs.errors import RequestError
from mixdq.configs.layers import LayerSpec, LayerTable


def select(table: LayerTable, patterns: Sequence[str], sample: int | None) -> tuple[LayerSpec, ...]:
    """The layers whose names match a pattern, in the table's order; of them some, evenly spread.

    Args:
        table: the model's layers.
        patterns: with `*`, `?` and `[...]`; none for all layers.
        sample: how many; None, or more than there are, for all of them.

    Raises:
        RequestError: a pattern that no layer's name matches.
    """
    for pattern in patterns:
        if not any(fnmatchcase(layer.name, pattern) for layer in table):
            raise RequestError(
                f"--layers {pattern!r} matches none of the {len(table)} layers of {table.model.name}; names "
                f"are like {table.layers[0].name}, and `*` stands for any letters"
            )
    chosen = [
        layer for layer in table if not patterns or any(fnmatchcase(layer.name, each) for each in patterns)
    ]
    if sample is None or sample >= len(chosen):
        return tuple(chosen)
    # From the middle of each of `sample` equal stretches.
    return tuple(chosen[(2 * index + 1) * len(chosen) // (2 * sample)] for index in range(sample))
