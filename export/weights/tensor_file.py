"""One safetensors file: its header checked, its tensors read as views of the mapped file."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from mixdq.configs.errors import ModelError

_TYPES: Mapping[str, npt.DTypeLike] = {"F16": np.float16, "F32": np.float32, "BF16": ml_dtypes.bfloat16}
READABLE = tuple(_TYPES)
"""The types that weights may be stored in, by their names in a header."""

# An exponent of all ones is NaN or infinity. As integers of the same width, these patterns are the largest.
_LARGEST_FINITE: Mapping[int, Mapping[str, int]] = {
    2: {"float16": 0x7BFF, "bfloat16": 0x7F7F},
    4: {"float32": 0x7F7FFFFF},
}
_CHUNK_VALUES = 1 << 18


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies.

    Attributes:
        kind: the type's name in the header: `F16`, `BF16`, …
        shape: its shape.
        begin: the first byte, from the start of the file.
    """

    kind: str
    shape: tuple[int, ...]
    begin: int


class TensorFile:
    """A mapped safetensors file.

    Raises:
        ModelError: it is no such file, cut short, or its header contradicts its size.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: Mapping[str, str]
        self.tensors: Mapping[str, StoredTensor]
        self.tensors, self.metadata = _read_header(path)
        self._bytes: npt.NDArray[np.uint8] | None = None

    def view(self, name: str) -> npt.NDArray[Any]:
        """A read-only view of one tensor; nothing is read before its values are used.

        Raises:
            ModelError: the tensor's type is no floating-point type of at most 32 bits.
        """
        tensor = self.tensors[name]
        if (kind := _TYPES.get(tensor.kind)) is None:
            raise ModelError(
                f"{self.path} holds {name} as {tensor.kind}; mixdq reads {', '.join(READABLE)}: "
                "save the weights in one of these types"
            )
        count = math.prod(tensor.shape)
        if self._bytes is None:
            self._bytes = np.memmap(self.path, dtype=np.uint8, mode="r")
        data = self._bytes[tensor.begin : tensor.begin + count * np.dtype(kind).itemsize]
        # A plain array keeps the mapping alive, and copies of it are no memory maps.
        return np.asarray(data).view(kind).reshape(tensor.shape)


def check_finite(values: npt.NDArray[Any], name: str, where: Path | str) -> None:
    """Refuses NaN and infinity.

    Raises:
        ModelError: there are some.
    """
    if not all_finite(values):
        raise ModelError(
            f"{where} holds NaN or infinity in {name}; the training diverged or the file is damaged: "
            "use another checkpoint"
        )


def all_finite(values: npt.NDArray[Any]) -> bool:
    """Whether a tensor holds no NaN and no infinity, by its bits: several GB/s, without a second copy."""
    width = values.dtype.itemsize
    largest = _LARGEST_FINITE[width][values.dtype.name]
    kind = np.dtype(f"uint{8 * width}")
    sign = kind.type(1 << (8 * width - 1))
    bits = np.ascontiguousarray(values).reshape(-1).view(kind)
    return all(
        int((bits[start : start + _CHUNK_VALUES] & ~sign).max()) <= largest
        for start in range(0, bits.size, _CHUNK_VALUES)
    )


def largest_finite(kind: np.dtype[Any]) -> float:
    """The largest number that a type of weights can hold."""
    bits = _LARGEST_FINITE[kind.itemsize][kind.name]
    return float(np.array(bits, f"uint{8 * kind.itemsize}").view(kind))


def check_shape(found: tuple[int, ...], wanted: tuple[int, ...], name: str, where: Path | str) -> None:
    """Refuses a tensor of another shape than the model's.

    Raises:
        ModelError: they differ.
    """
    if found != wanted:
        raise ModelError(
            f"{where} holds {name} as {list(found)} where the model's configuration says {list(wanted)}; "
            "use the weights and the configuration of one model"
        )


def _read_header(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Eight bytes of length, JSON, then the data; the size must be what the header says."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
            text = file.read(length) if length < size else b""
        header: dict[str, Any] = json.loads(text)
        metadata = header.pop("__metadata__", None) or {}
        tensors = {name: _stored(entry, 8 + length) for name, entry in header.items()}
        end = 8 + length + max(entry["data_offsets"][1] for entry in header.values())
        named = {str(key): str(value) for key, value in metadata.items()}
    # Whatever JSON holds instead of an object of objects, and nesting too deep for its parser.
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is no safetensors file, or is cut short; download it again") from error
    if size != end:
        raise ModelError(
            f"{path} is truncated or damaged: it holds {size} bytes where its header says {end}; "
            "download it again"
        )
    return tensors, named


def _stored(entry: Mapping[str, Any], data: int) -> StoredTensor:
    kind, shape = str(entry["dtype"]), tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)) or begin > end:
        raise ValueError(f"shape {shape}, bytes {begin} to {end}")
    if kind in _TYPES and end - begin != math.prod(shape) * np.dtype(_TYPES[kind]).itemsize:
        raise ValueError(f"{end - begin} bytes for {shape} of {kind}")
    return StoredTensor(kind, shape, data + begin)
