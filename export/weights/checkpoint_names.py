"""Which tensor of a checkpoint of SDXL's original code is which tensor of diffusers' models."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from mixdq.configs.errors import ModelError
from mixdq.export.weights.names import first_names
from mixdq.export.weights.tensor_file import TensorFile

PREFIXES: Mapping[str, str] = {
    "unet": "model.diffusion_model.",
    "vae": "first_stage_model.",
    "text_encoder": "conditioner.embedders.0.transformer.",
    "text_encoder_2": "conditioner.embedders.1.model.",
}
"""How the names of each component's tensors begin."""

Part = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
"""How a tensor is cut out of the stored one."""

_CONSTANTS = re.compile(
    # Training's: averages of the weights, the noise's schedule, losses.
    r"(first_stage_model\.)?model_ema\..+|first_stage_model\.loss\..+|global_step|logvar|lvlb_weights"
    r"|betas|(sqrt_|log_)?((one_minus|recip|recipm1)_)?alphas_cumprod(_prev)?|posterior_\w+"
    r"|denoiser\.(log_)?sigmas"
    # Of networks that a picture doesn't need, or that they make themselves.
    r"|first_stage_model\.(encoder|quant_conv)\..+"
    r"|conditioner\.embedders\..+\.(position_ids|logit_scale|attn_mask)"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a component's tensor comes from: the stored tensor's name, and the part of it."""

    stored: str
    shape: tuple[int, ...]
    part: Part


def find_origins(file: TensorFile, component: str, config: Mapping[str, Any]) -> dict[str, Origin]:
    """Where each tensor of a component is, by diffusers' names; tensors that the file lacks have no origin.

    Args:
        file: the checkpoint.
        component: the component's folder, of `PREFIXES`.
        config: the component's configuration.

    Raises:
        ModelError: what holds an attention's q, k and v has another shape than three of one.
        LookupError, ValueError, AttributeError, TypeError: by diffusers, of a layout that it doesn't know.
    """
    from diffusers.loaders import single_file_utils as diffusers

    if component == "text_encoder_2":
        return _open_clip_origins(file, config["hidden_size"])
    converters: Mapping[str, _Convert] = {
        "unet": lambda tensors: diffusers.convert_ldm_unet_checkpoint(tensors, config),
        "vae": lambda tensors: diffusers.convert_ldm_vae_checkpoint(tensors, config),
        "text_encoder": diffusers.convert_ldm_clip_checkpoint,
    }
    return _origins_by_identity(_meta(file, component), PREFIXES[component], converters[component])


def holds_constant(stored: str) -> bool:
    """Whether no engine reads a tensor of a checkpoint, by its stored name."""
    return _CONSTANTS.fullmatch(stored) is not None


_Convert = Callable[[dict[str, Any]], Mapping[str, Any]]


def _origins_by_identity(tensors: dict[str, Any], prefix: str, convert: _Convert) -> dict[str, Origin]:
    """Converts tensors without values and finds each again: itself, or a view without its 1x1 kernel."""
    names = {id(tensor): name for name, tensor in tensors.items()}
    origins = {}
    for name, tensor in _converted(tensors, prefix, convert).items():
        source = tensor if tensor is None or tensor._base is None else tensor._base
        # Absent tensors come out as nothing, or as a stand-in.
        if source is not None and (stored := names.get(id(source))) is not None:
            whole = math.prod(tensor.shape) == math.prod(source.shape)
            shape = tuple(tensor.shape if whole else source.shape)
            origins[name] = Origin(stored, shape, _reshaped(shape))
    return origins


def _converted(tensors: Mapping[str, Any], prefix: str, convert: _Convert) -> Mapping[str, Any]:
    """What a converter makes of tensors, with a stand-in for each that it looks up and doesn't find."""
    import torch

    complete = dict(tensors)
    while True:
        try:
            return convert(dict(complete))
        except KeyError as error:
            if (absent := f"{prefix}{error.args[0]}") in complete:
                raise
            complete[absent] = torch.empty(0, device="meta")


def _open_clip_origins(file: TensorFile, width: int) -> dict[str, Origin]:
    """Converts each tensor alone: one in the file holds an attention's q, k and v."""
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    tensors = _meta(file, "text_encoder_2")
    _check_thirds(file, tensors, width)
    model = SimpleNamespace(config=SimpleNamespace(hidden_size=width))
    origins = {}
    for stored, tensor in tensors.items():
        converted = convert_open_clip_checkpoint(model, {stored: tensor}, prefix=PREFIXES["text_encoder_2"])
        for index, (name, result) in enumerate(converted.items()):
            shape = tuple(result.shape)
            if len(converted) > 1:
                part = _rows(index, width)
            elif name == "text_projection.weight":
                part = np.transpose
            else:
                part = _reshaped(shape)
            origins[name] = Origin(stored, shape, part)
    return origins


def _check_thirds(file: TensorFile, tensors: Mapping[str, Any], width: int) -> None:
    wanted = {"in_proj_weight": (3 * width, width), "in_proj_bias": (3 * width,)}
    wrong = [
        f"{name} {list(tensor.shape)} instead of {list(shape)}"
        for name, tensor in tensors.items()
        if (shape := wanted.get(name.rpartition(".")[2])) is not None and tensor.shape != shape
    ]
    if wrong:
        raise ModelError(
            f"{file.path} does not fit text_encoder_2, whose hidden_size is {width}: wrongly shaped "
            f"{first_names(wrong)}; use the weights and the configuration of one model"
        )


def _meta(file: TensorFile, component: str) -> dict[str, Any]:
    import torch

    return {
        name: torch.empty(tensor.shape, device="meta")
        for name, tensor in file.tensors.items()
        if name.startswith(PREFIXES[component])
    }


def _reshaped(shape: tuple[int, ...]) -> Part:
    return lambda values: values.reshape(shape)


def _rows(index: int, count: int) -> Part:
    return lambda values: values[index * count : (index + 1) * count]
