"""From the tensors of a published file to those of a module, strictly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorers.stored_weights import StoredWeights

_NAMED = 10


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a module's tensor comes from.

    Attributes:
        stored: its name in the file.
        third: which third of the stored rows, where query, key and value are one tensor; None for all.
        transposed: stored as [inputs, outputs], where a linear layer has [outputs, inputs].
    """

    stored: str
    third: int | None = None
    transposed: bool = False

    def stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in the file of what has `shape` in the module."""
        if self.transposed:
            return shape[::-1]
        return shape if self.third is None else (3 * shape[0], *shape[1:])

    def take(self, stored: torch.Tensor) -> torch.Tensor:
        """The module's tensor, in FP32."""
        if self.third is not None:
            stored = stored.chunk(3)[self.third]
        return (stored.T if self.transposed else stored).float().contiguous()


def fill(
    module: torch.nn.Module,
    weights: StoredWeights,
    origin: Callable[[str], Origin],
    ignored: Callable[[str], bool],
    how_to_get: str,
) -> None:
    """Gives a module that was made on torch's `meta` device its weights, and freezes it for inference.

    Args:
        module: the module; all its tensors are replaced.
        weights: the file.
        origin: where the module's tensor of a name is in the file.
        ignored: which of the file's tensors the module does not need.
        how_to_get: where the right weights are published.

    Raises:
        EvaluationError: tensors are missing, unknown or wrongly shaped; the first ten of each are named.
    """
    origins = {name: origin(name) for name in module.state_dict()}
    expected = {
        origins[name].stored: origins[name].stored_shape(tuple(tensor.shape))
        for name, tensor in module.state_dict().items()
    }
    _check(weights, expected, ignored, how_to_get)
    state = {name: place.take(weights.tensors[place.stored]) for name, place in origins.items()}
    module.load_state_dict(state, assign=True)
    _restore_positions(module)
    module.eval().requires_grad_(False)


def _check(
    weights: StoredWeights,
    expected: dict[str, tuple[int, ...]],
    ignored: Callable[[str], bool],
    how_to_get: str,
) -> None:
    found = {name: tuple(tensor.shape) for name, tensor in weights.tensors.items()}
    faults = {
        "missing": [name for name in expected if name not in found],
        "unknown": [name for name in found if name not in expected and not ignored(name)],
        "wrongly shaped": [
            f"{name} {list(found[name])} instead of {list(shape)}"
            for name, shape in expected.items()
            if found.get(name, shape) != shape
        ],
    }
    if any(faults.values()):
        words = [f"{word} {_first(names)}" for word, names in faults.items() if names]
        raise EvaluationError(f"{weights.path} does not fit: {'; '.join(words)}; {how_to_get}")


def _first(names: list[str]) -> str:
    return f"{', '.join(sorted(names)[:_NAMED])} ({len(names)} in all)"


def _restore_positions(module: torch.nn.Module) -> None:
    # transformers keeps 0, 1, 2, … in a buffer that no file stores and that a module on `meta` does not have.
    for part in module.modules():
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.is_meta:
                assert name == "position_ids", name
                setattr(part, name, torch.arange(buffer.shape[-1]).expand(1, -1))
