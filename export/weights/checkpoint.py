"""Weights in one file of the whole pipeline, with the names of SDXL's original code (`….safetensors`)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mixdq.configs.documents import read_json
from mixdq.configs.errors import ModelError
from mixdq.export.weights.checkpoint_names import PREFIXES, Origin, find_origins, holds_constant
from mixdq.export.weights.files import digest_of_files
from mixdq.export.weights.names import canonical, first_names
from mixdq.export.weights.reader import HeldTensor, WeightReader
from mixdq.export.weights.tensor_file import TensorFile, check_finite, check_shape


@dataclass(frozen=True, slots=True)
class CheckpointWeights:
    """One component's weights in a checkpoint of the whole pipeline.

    Attributes:
        file: the checkpoint.
        component: the component's folder: `unet`, `vae`, `text_encoder` or `text_encoder_2`.
        folder: the diffusers folder whose configurations the checkpoint is to fit.
    """

    file: Path
    component: str
    folder: Path

    def open(self) -> WeightReader:
        """Checks the file's header and layout; reads no tensor.

        Raises:
            ModelError: it is damaged, or no SDXL checkpoint in the original layout.
        """
        file = TensorFile(self.file)
        check_layout(file)
        config = read_json(dict[str, Any], self.folder / self.component / "config.json", ModelError)
        try:
            origins = find_origins(file, self.component, config)
        # What diffusers' converters raise on a layout that they don't know.
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            raise ModelError(
                f"{self.file} is no complete SDXL checkpoint: its {self.component} can't be found by the "
                f"original code's names ({type(error).__name__}: {error}); download it again, or give a "
                "diffusers folder"
            ) from error
        return _CheckpointReader(file, origins, PREFIXES[self.component])

    def digest(self) -> str:
        """SHA-256 over the component and the file's bytes."""
        text = f"checkpoint {self.component} {digest_of_files((self.file,))}"
        return hashlib.sha256(text.encode()).hexdigest()


def check_layout(file: TensorFile) -> None:
    """Refuses what is no SDXL base model with all of its components and nothing else.

    Raises:
        ModelError: it is SD 1 or 2, the refiner, a LoRA, one component alone, or anything else, which is
            said; or it holds more, whose first ten tensors are named.
    """
    prefixes = tuple(PREFIXES.values())
    lacks = [prefix for prefix in prefixes if not _any(file, prefix)]
    if lacks:
        raise ModelError(
            f"{file.path} is {_what_it_is(file)}, not a checkpoint of SDXL in its original layout: no tensor "
            f"begins with {', '.join(lacks)}; give one file with all of SDXL's components "
            "(as `sd_xl_turbo_1.0_fp16.safetensors` is), or a diffusers folder"
        )
    if more := [name for name in file.tensors if not name.startswith(prefixes) and not holds_constant(name)]:
        raise ModelError(
            f"{file.path} holds more than an SDXL checkpoint in its original layout: unknown "
            f"{first_names(more)}; give one of text-to-image SDXL, or a diffusers folder"
        )


class _CheckpointReader:
    def __init__(self, file: TensorFile, origins: Mapping[str, Origin], prefix: str) -> None:
        self.where = str(file.path)
        self._file = file
        self._names = tuple(origins)
        self._origins = {canonical(name): origin for name, origin in origins.items()}
        self._prefix = prefix

    def tensors(self) -> Mapping[str, HeldTensor]:
        """By diffusers' names; what the conversion doesn't read, and is no constant, by the file's."""
        read = {name: self._origins[canonical(name)] for name in self._names}
        held = {name: self._held(origin.stored, origin.shape) for name, origin in read.items()}
        stored = {origin.stored for origin in read.values()}
        return held | {
            name: self._held(name, tensor.shape)
            for name, tensor in self._file.tensors.items()
            if name.startswith(self._prefix) and name not in stored and not holds_constant(name)
        }

    def read(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """A view of the file, or of one stored tensor's part; see `WeightReader`."""
        if (origin := self._origins.get(canonical(name))) is None:
            raise ModelError(
                f"{self._file.path}: there is no {name}; use the weights and the configuration of one model"
            )
        check_shape(origin.shape, shape, name, self._file.path)
        values = origin.part(self._file.view(origin.stored))
        check_finite(values, f"{origin.stored} ({name})", self._file.path)
        return values

    def _held(self, stored: str, shape: tuple[int, ...]) -> HeldTensor:
        return HeldTensor(shape, self._file.tensors[stored].kind, stored)


def _any(file: TensorFile, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in file.tensors)


def _what_it_is(file: TensorFile) -> str:
    if _any(file, "cond_stage_model."):
        return "a checkpoint of Stable Diffusion 1 or 2"
    if _any(file, "conditioner.embedders.0.model."):
        return "the SDXL refiner"
    if any("lora" in name for name in file.tensors):
        return "a LoRA (`--lora` fuses one)"
    if _any(file, "down_blocks.") or _any(file, "text_model.") or _any(file, "decoder."):
        return "one component of a diffusers folder"
    return "something else"
