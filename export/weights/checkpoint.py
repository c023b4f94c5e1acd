"""Weights in one file of the whole pipeline, with the names of SDXL's original code (`….safetensors`)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from mixdq.configs.documents import read_json
from mixdq.configs.errors import ModelError
from mixdq.export.weights.files import digest_of_files
from mixdq.export.weights.names import canonical
from mixdq.export.weights.reader import WeightReader
from mixdq.export.weights.tensor_file import TensorFile, check_finite, check_shape

_UNET = "model.diffusion_model."
_VAE = "first_stage_model."
_CLIP = "conditioner.embedders.0.transformer."
_OPEN_CLIP = "conditioner.embedders.1.model."

Part = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
"""How a tensor is cut out of the stored one."""


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
            return _CheckpointReader(file, _ORIGINS[self.component](file, config))
        # What diffusers' converters raise on a layout that they don't know.
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            raise ModelError(
                f"{self.file} is no complete SDXL checkpoint: its {self.component} can't be found by the "
                f"original code's names ({type(error).__name__}: {error}); download it again, or give a "
                "diffusers folder"
            ) from error

    def digest(self) -> str:
        """SHA-256 over the component and the file's bytes."""
        text = f"checkpoint {self.component} {digest_of_files((self.file,))}"
        return hashlib.sha256(text.encode()).hexdigest()


def check_layout(file: TensorFile) -> None:
    """Refuses what is no SDXL base model with all of its components; says what it is instead.

    Raises:
        ModelError: it is SD 1 or 2, the refiner, a LoRA, one component alone, or anything else.
    """
    lacks = [prefix for prefix in (_UNET, _VAE, _CLIP, _OPEN_CLIP) if not _any(file, prefix)]
    if lacks:
        raise ModelError(
            f"{file.path} is {_what_it_is(file)}, not a checkpoint of SDXL in its original layout: no tensor "
            f"begins with {', '.join(lacks)}; give one file with all of SDXL's components "
            "(as `sd_xl_turbo_1.0_fp16.safetensors` is), or a diffusers folder"
        )


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a component's tensor comes from: the stored tensor's name, and the part of it."""

    stored: str
    shape: tuple[int, ...]
    part: Part


class _CheckpointReader:
    def __init__(self, file: TensorFile, origins: Mapping[str, _Origin]) -> None:
        self._file = file
        self._names = tuple(origins)
        self._origins = {canonical(name): origin for name, origin in origins.items()}

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes by the names that diffusers gives the tensors."""
        return {name: self._origins[canonical(name)].shape for name in self._names}

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


def _unet_origins(file: TensorFile, config: Mapping[str, Any]) -> dict[str, _Origin]:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    return _by_identity(_meta(file, _UNET), lambda tensors: convert_ldm_unet_checkpoint(tensors, config))


def _vae_origins(file: TensorFile, config: Mapping[str, Any]) -> dict[str, _Origin]:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    return _by_identity(_meta(file, _VAE), lambda tensors: convert_ldm_vae_checkpoint(tensors, config))


def _clip_origins(file: TensorFile, _: Mapping[str, Any]) -> dict[str, _Origin]:
    from diffusers.loaders.single_file_utils import convert_ldm_clip_checkpoint

    return _by_identity(_meta(file, _CLIP), convert_ldm_clip_checkpoint)


def _by_identity(
    tensors: dict[str, Any], convert: Callable[[dict[str, Any]], Mapping[str, Any]]
) -> dict[str, _Origin]:
    """Converts tensors without values and finds each again: itself, or a view without its 1x1 kernel."""
    names = {id(tensor): name for name, tensor in tensors.items()}
    origins = {}
    for name, tensor in convert(tensors).items():
        shape = tuple(tensor.shape)
        source = tensor if tensor._base is None else tensor._base
        origins[name] = _Origin(names[id(source)], shape, _reshaped(shape))
    return origins


def _open_clip_origins(file: TensorFile, config: Mapping[str, Any]) -> dict[str, _Origin]:
    """Converts each tensor alone: one in the file holds an attention's q, k and v."""
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    model = SimpleNamespace(config=SimpleNamespace(hidden_size=config["hidden_size"]))
    origins = {}
    for stored, tensor in _meta(file, _OPEN_CLIP).items():
        converted = convert_open_clip_checkpoint(model, {stored: tensor}, prefix=_OPEN_CLIP)
        for index, (name, result) in enumerate(converted.items()):
            shape = tuple(result.shape)
            if len(converted) > 1:
                part = _rows(index, config["hidden_size"])
            elif name == "text_projection.weight":
                part = np.transpose
            else:
                part = _reshaped(shape)
            origins[name] = _Origin(stored, shape, part)
    return origins


_ORIGINS: Mapping[str, Callable[[TensorFile, Mapping[str, Any]], dict[str, _Origin]]] = {
    "unet": _unet_origins,
    "vae": _vae_origins,
    "text_encoder": _clip_origins,
    "text_encoder_2": _open_clip_origins,
}


def _meta(file: TensorFile, prefix: str) -> dict[str, Any]:
    import torch

    return {
        name: torch.empty(tensor.shape, device="meta")
        for name, tensor in file.tensors.items()
        if name.startswith(prefix)
    }


def _reshaped(shape: tuple[int, ...]) -> Part:
    return lambda values: values.reshape(shape)


def _rows(index: int, count: int) -> Part:
    return lambda values: values[index * count : (index + 1) * count]


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
