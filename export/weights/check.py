"""Whether a source of weights and a configuration belong to one model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mixdq.configs.errors import ModelError
from mixdq.export.weights.names import canonical, holds_no_weights
from mixdq.export.weights.reader import WeightReader

_NAMED = 10


def check_fit(reader: WeightReader, expected: Mapping[str, tuple[int, ...]], what: str, config: Path) -> None:
    """Compares the tensors of a source with those of a model; reads none.

    Args:
        reader: the source, opened.
        expected: the shapes of all of the model's tensors.
        what: the source in words: a file, say.
        config: the configuration that `expected` comes from.

    Raises:
        ModelError: tensors are missing, unknown or wrongly shaped; the first ten of each are named.
    """
    if (stored := reader.shapes()) is None:
        return
    found = {canonical(name): shape for name, shape in stored.items()}
    wanted = {canonical(name) for name in expected}
    faults = {
        "missing": [name for name in expected if canonical(name) not in found],
        "unknown": [name for name in stored if canonical(name) not in wanted and not holds_no_weights(name)],
        "wrongly shaped": [
            f"{name} {list(found[canonical(name)])} instead of {list(shape)}"
            for name, shape in expected.items()
            if found.get(canonical(name), shape) != shape
        ],
    }
    if any(faults.values()):
        words = [f"{word} {first_names(names)}" for word, names in faults.items() if names]
        raise ModelError(
            f"{what} does not fit {config}: {'; '.join(words)}; "
            "use the weights and the configuration of one model"
        )


def first_names(names: Iterable[str]) -> str:
    """The first ten names, and how many there are."""
    ordered = sorted(names)
    return f"{', '.join(ordered[:_NAMED])} ({len(ordered)} in all)"
