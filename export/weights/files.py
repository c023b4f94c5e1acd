"""Weights in a component's own folder: one safetensors file, or several shards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mixdq.configs.documents import read_json
from mixdq.configs.errors import ModelError, StorageError
from mixdq.configs.files import sha256_of_file
from mixdq.export.weights.names import canonical
from mixdq.export.weights.reader import HeldTensor, WeightReader
from mixdq.export.weights.tensor_file import TensorFile, check_finite, check_shape

_HALF = "fp16"
_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """One component's safetensors: a single file, or the shards of one.

    Attributes:
        files: in the order that the digest is taken in.
    """

    files: tuple[Path, ...]

    def open(self) -> WeightReader:
        """Checks every file's header against its size; reads no tensor.

        Raises:
            ModelError: a file is missing or damaged, or two hold the same tensor.
        """
        return _StoredReader(tuple(TensorFile(path) for path in self.files), self._where())

    def digest(self) -> str:
        """SHA-256 over the files' bytes."""
        return digest_of_files(self.files)

    def _where(self) -> str:
        first, count = self.files[0], len(self.files)
        return str(first) if count == 1 else f"{first.parent} ({count} files)"


def find_stored(folder: Path, stem: str, variant: str | None) -> StoredWeights:
    """The weights in a component's folder.

    Args:
        folder: the component's.
        stem: the files' name without variant and suffix.
        variant: `fp16` for `….fp16.safetensors`; None takes those if there are any, else the plain ones. The
            engines hold no more than FP16, except the VAE's, whose weights are widened.

    Raises:
        ModelError: they aren't there, or an index of shards is malformed or names missing files.
    """
    for choice in (variant,) if variant is not None else (_HALF, ""):
        dotted = f".{choice}" if choice else ""
        if (single := folder / f"{stem}{dotted}{_SUFFIX}").is_file():
            return StoredWeights((single,))
        # The two libraries of the model, and their versions, don't agree on where the variant goes.
        for name in (f"{stem}{_SUFFIX}.index{dotted}.json", f"{stem}{dotted}{_SUFFIX}.index.json"):
            if (index := folder / name).is_file():
                return StoredWeights(_shards(index))
    raise ModelError(_nothing_found(folder, stem, variant))


def digest_of_files(files: tuple[Path, ...]) -> str:
    """SHA-256 over files' digests, in order; several are read at the same time.

    Raises:
        ModelError: a file can't be read.
    """
    try:
        with ThreadPoolExecutor() as pool:
            digests = list(pool.map(sha256_of_file, files))
    except StorageError as error:
        raise ModelError(f"{error}; download the weights again, or mend their permissions") from error
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


class _StoredReader:
    def __init__(self, files: tuple[TensorFile, ...], where: str) -> None:
        self.where = where
        self._tensors: dict[str, tuple[TensorFile, str]] = {}
        for file in files:
            for name in file.tensors:
                if (other := self._tensors.get(key := canonical(name))) is not None:
                    raise ModelError(
                        f"{file.path} holds {name}, which {other[0].path} holds as {other[1]}; "
                        "the weights are those of two models: download them again"
                    )
                self._tensors[key] = (file, name)

    def tensors(self) -> Mapping[str, HeldTensor]:
        """By the names in the files."""
        return {
            name: HeldTensor(file.tensors[name].shape, file.tensors[name].kind, name)
            for file, name in self._tensors.values()
        }

    def read(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """A view of the file; see `WeightReader`."""
        if (found := self._tensors.get(canonical(name))) is None:
            raise ModelError(
                f"{self.where}: there is no {name}; use the weights and the configuration of one model"
            )
        file, stored = found
        check_shape(file.tensors[stored].shape, shape, name, file.path)
        values = file.view(stored)
        check_finite(values, name, file.path)
        return values


def _shards(index: Path) -> tuple[Path, ...]:
    table = read_json(dict[str, Any], index, ModelError).get("weight_map")
    names = sorted({str(name) for name in table.values()}) if isinstance(table, dict) else []
    if not names or any(Path(name).name != name or not name.endswith(_SUFFIX) for name in names):
        raise ModelError(f"{index} lists no safetensors files of its own folder; download it again")
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        raise ModelError(
            f"{index.parent} lacks {', '.join(missing[:10])} ({len(missing)} of {len(names)} files that "
            f"{index.name} lists); download the model again"
        )
    return tuple(index.parent / name for name in names)


def _nothing_found(folder: Path, stem: str, variant: str | None) -> str:
    plain = f"{stem}{_SUFFIX}"
    wanted = f"{stem}.{variant}{_SUFFIX}" if variant is not None else f"{plain} or {stem}.{_HALF}{_SUFFIX}"
    there = sorted(path.name for path in folder.glob(f"*{_SUFFIX}")) if folder.is_dir() else []
    if there:
        return f"{folder} has no {wanted}, only {', '.join(there[:10])}; name their variant, or rename them"
    if folder.is_dir() and any(folder.glob("*.bin")):
        return (
            f"{folder} has its weights as .bin files, which can run code when read; expected {wanted}: "
            "save the model again with `safe_serialization=True`"
        )
    return f"{folder} has no weights: expected {wanted}; download the model again"
