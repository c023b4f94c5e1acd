"""Weight files that the user brings: tensors by name, and the digest of their bytes."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file

_PICKLES = (b"PK", b"\x80")
"""What torch's files begin with, today's and the old ones, and pickles since protocol 2."""

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.\w+$")


@dataclass(frozen=True, slots=True, eq=False)
class StoredWeights:
    """The tensors of one file.

    Attributes:
        path: the file.
        sha256: hex SHA-256 of its bytes.
        tensors: by the names in the file; mapped, not read, where the format allows it.
    """

    path: Path
    sha256: str
    tensors: Mapping[str, torch.Tensor]

    def shape(self, name: str, rank: int, model: str) -> tuple[int, ...]:
        """The shape of a tensor that every `model` has, of `rank` dimensions.

        Raises:
            EvaluationError: there is none, or it has another rank.
        """
        if name not in self.tensors:
            raise EvaluationError(
                f"{self.path} is no {model}: it holds no tensor {name}; its first ones are "
                f"{', '.join(sorted(self.tensors)[:3]) or 'none'}"
            )
        shape = tuple(self.tensors[name].shape)
        if len(shape) != rank:
            raise EvaluationError(
                f"{self.path} is no {model}: {name} has the shape {list(shape)}, not {rank} dimensions"
            )
        return shape

    def layers(self, prefix: str, model: str) -> int:
        """How many layers are numbered after a prefix: `blocks.` counts `blocks.0.…`, `blocks.1.…`.

        Raises:
            EvaluationError: there is none.
        """
        found = {name[len(prefix) :].split(".")[0] for name in self.tensors if name.startswith(prefix)}
        if not found:
            raise EvaluationError(f"{self.path} is no {model}: it holds no tensor {prefix}0.…")
        return len(found)


def read_weights(path: Path, how_to_get: str) -> StoredWeights:
    """Opens a `.safetensors` file or one that `torch.save` wrote; runs no code that a pickle holds.

    Takes a dictionary of tensors, or a training checkpoint that has one as `state_dict`. The prefix
    `module.`, which torch's DistributedDataParallel gives to all names, is dropped.

    Args:
        path: the file.
        how_to_get: where the weights are published, for the error if there is none.

    Raises:
        EvaluationError: there is no file, its digest is not the one in its name, or it holds something else
            than tensors.
    """
    sha256 = digest_of(path, how_to_get)
    loaded = _load(path, how_to_get)
    tensors = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(tensors, dict) or not all(
        isinstance(tensor, torch.Tensor) for tensor in tensors.values()
    ):
        raise EvaluationError(
            f"{path} holds no tensors by name but {_kind(tensors)}; save the model's `state_dict()`, or "
            f"{how_to_get}"
        )
    names = {str(name): tensor for name, tensor in tensors.items()}
    if names and all(name.startswith("module.") for name in names):
        names = {name.removeprefix("module."): tensor for name, tensor in names.items()}
    return StoredWeights(path, sha256, names)


def digest_of(path: Path, how_to_get: str) -> str:
    """Hex SHA-256 of a weight file, compared with the digits in its name if it has some.

    torch.hub's files carry the first digits of their digest: `alexnet-owt-7be5be79.pth`.

    Raises:
        EvaluationError: there is no such file, or the digits differ.
    """
    if not path.is_file():
        raise EvaluationError(f"{path} is no file of weights; {how_to_get}")
    sha256 = sha256_of_file(path)
    told = _HASH_IN_NAME.search(path.name)
    if told is not None and not sha256.startswith(told[1]):
        raise EvaluationError(
            f"{path} is damaged: its SHA-256 begins with {sha256[: len(told[1])]}, and its name says "
            f"{told[1]}; download it again"
        )
    return sha256


def _load(path: Path, how_to_get: str) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # On a pickle that torch did not write: it is refused in the next moment.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not _first_bytes(path).startswith(_PICKLES):
            raise _unreadable(path, how_to_get, "") from error
        raise EvaluationError(
            f"{path} is no file of weights alone: {_first_line(error)}; a pickle may run any code, so it is "
            f"not opened. Save the model's `state_dict()` as safetensors, or {how_to_get}"
        ) from error
    # A cut or foreign file: torch's zip reader raises RuntimeError, its old format EOFError or ValueError.
    # What its bytes mean as opcodes raises KeyError, IndexError and others, whose words say nothing.
    except (
        SafetensorError,
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        AssertionError,
        OverflowError,
        struct.error,
    ) as error:
        detail = f" ({_first_line(error)})" if isinstance(error, (SafetensorError, RuntimeError)) else ""
        raise _unreadable(path, how_to_get, detail) from error


def _unreadable(path: Path, how_to_get: str, detail: str) -> EvaluationError:
    first = _first_bytes(path)
    found = f"a file that begins with {first!r}" if first else "an empty file"
    return EvaluationError(
        f"{path} can't be read as weights: expected a .safetensors file or one that torch.save wrote, found "
        f"{found}{detail}; download it again: {how_to_get}"
    )


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _kind(value: object) -> str:
    if not isinstance(value, dict):
        return f"a {type(value).__name__}"
    strange = [f"{name} ({type(entry).__name__})" for name, entry in value.items()]
    return f"a dictionary with {', '.join(strange[:3])}, …"


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
