"""Whether a source of weights and a configuration belong to one model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mixdq.configs.errors import ModelError
from mixdq.export.weights.names import canonical, first_names, holds_no_weights
from mixdq.export.weights.reader import HeldTensor, WeightReader
from mixdq.export.weights.tensor_file import READABLE

_ONE_MODEL = "use the weights and the configuration of one model"
_ANOTHER_TYPE = f"save the weights as {', '.join(READABLE)}"


def check_fit(
    reader: WeightReader,
    expected: Mapping[str, tuple[int, ...]],
    part: str,
    config: Path,
    unread: tuple[str, ...] = (),
) -> None:
    """Compares the tensors of a source with those of a model; reads none.

    Args:
        reader: the source, opened.
        expected: the shapes of all of the model's tensors.
        part: the component, for messages.
        config: the configuration that `expected` comes from.
        unread: how the names begin of tensors that nobody reads, so that they may be there or not.

    Raises:
        ModelError: tensors are missing, unknown, wrongly shaped, or of a type that mixdq doesn't read; the
            first ten of each are named.
    """
    if (tensors := reader.tensors()) is None:
        return
    found = {canonical(name): held for name, held in tensors.items()}
    needed = {name: shape for name, shape in expected.items() if not name.startswith(unread)}
    wanted = {canonical(name) for name in expected}
    there = {name: found[canonical(name)] for name in needed if canonical(name) in found}
    misfits = {
        "missing": [name for name in needed if name not in there],
        "unknown": [
            held.stored
            for name, held in tensors.items()
            if canonical(name) not in wanted and not name.startswith(unread) and not holds_no_weights(name)
        ],
        "wrongly shaped": [
            f"{_in_file(name, held)} {list(held.shape)} instead of {list(needed[name])}"
            for name, held in there.items()
            if held.shape != needed[name]
        ],
    }
    types = [
        f"{_in_file(name, held)} {held.kind}" for name, held in there.items() if held.kind not in READABLE
    ]
    faults = misfits | {"of a type that mixdq doesn't read": types}
    if any(faults.values()):
        words = [f"{word} {first_names(names)}" for word, names in faults.items() if names]
        advice = [_ONE_MODEL] * any(misfits.values()) + [_ANOTHER_TYPE] * bool(types)
        raise ModelError(
            f"the {part} in {reader.where} does not fit {config}: {'; '.join(words)}; {', '.join(advice)}"
        )


def _in_file(name: str, held: HeldTensor) -> str:
    """A tensor by its name in the file, and the model's where that is another."""
    return name if canonical(held.stored) == canonical(name) else f"{held.stored} ({name})"
