"""The torch modules of a model's components: without weights, with all of them, or with one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection
from transformers.utils import logging as transformers_logging

from mixdq.configs.bundle import Component
from mixdq.export.source import SUBFOLDERS, SourceModel
from mixdq.export.weights.reader import WeightReader

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

_TEXT_ENCODERS: dict[Component, Any] = {
    Component.TEXT_ENCODER: CLIPTextModel,
    Component.TEXT_ENCODER_2: CLIPTextModelWithProjection,
}
_DIFFUSERS: dict[Component, Any] = {
    Component.UNET: UNet2DConditionModel,
    Component.VAE_DECODER: AutoencoderKL,
}


def empty_module(source: SourceModel, component: Component) -> nn.Module:
    """A component in evaluation mode whose parameters are on the meta device: shapes without weights.

    Buffers are real: nothing stores them.
    """
    config = dict(source.configs[SUBFOLDERS[component]])
    with init_empty_weights(include_buffers=False):
        if component in _TEXT_ENCODERS:
            module = _TEXT_ENCODERS[component](CLIPTextConfig.from_dict(config))
        else:
            module = _DIFFUSERS[component].from_config(config)
    empty: nn.Module = module.eval().requires_grad_(False)
    return empty


def load_module(source: SourceModel, component: Component, dtype: torch.dtype) -> nn.Module:
    """A component with all of its weights.

    Args:
        source: the checked model.
        component: which network.
        dtype: the floating-point type of its parameters.

    Raises:
        ModelError: a tensor is missing or wrongly shaped, or holds NaN or infinity.
    """
    module, reader = empty_module(source, component), _reader(source, component)
    for owner, key, name, shape in _parameters(module):
        owner._parameters[key] = _parameter(reader, name, shape, dtype)
    return module


def stream_module(source: SourceModel, component: Component, dtype: torch.dtype) -> nn.Module:
    """A component whose layers each read their weights when they run, and drop them after.

    It computes what `load_module`'s does, in the memory of its largest layer; reading costs a few seconds a
    call at SDXL's size, so calls are best made in batches.

    Args:
        source: the checked model.
        component: which network.
        dtype: the floating-point type to compute in.

    Raises:
        ModelError: see `load_module`; also while it runs.
    """
    module, reader = empty_module(source, component), _reader(source, component)
    owners: dict[nn.Module, dict[str, tuple[str, tuple[int, ...]]]] = {}
    for owner, key, name, shape in _parameters(module):
        owners.setdefault(owner, {})[key] = (name, shape)
    for owner, tensors in owners.items():
        _stream(owner, tensors, reader, dtype)
    return module


def expected_shapes(module: nn.Module) -> Mapping[str, tuple[int, ...]]:
    """The shape of every tensor that a module's weights must hold."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def _stream(
    owner: nn.Module,
    tensors: Mapping[str, tuple[str, tuple[int, ...]]],
    reader: WeightReader,
    dtype: torch.dtype,
) -> None:
    # Right in shape, type and device for whoever asks, and one number in memory.
    placeholders = {
        key: nn.Parameter(torch.zeros((), dtype=dtype).expand(shape), requires_grad=False)
        for key, (_, shape) in tensors.items()
    }
    owner._parameters.update(placeholders)

    def fill(module: nn.Module, _: Any) -> None:
        for key, (name, shape) in tensors.items():
            module._parameters[key] = _parameter(reader, name, shape, dtype)

    def drop(module: nn.Module, _: Any, __: Any) -> None:
        module._parameters.update(placeholders)

    owner.register_forward_pre_hook(fill)
    owner.register_forward_hook(drop)


def _reader(source: SourceModel, component: Component) -> WeightReader:
    return source.weights[SUBFOLDERS[component]].open()


def _parameters(module: nn.Module) -> Iterator[tuple[nn.Module, str, str, tuple[int, ...]]]:
    """Owner, attribute, full name and shape of every parameter."""
    for path, owner in module.named_modules():
        for key, parameter in owner.named_parameters(recurse=False):
            yield owner, key, f"{path}.{key}" if path else key, tuple(parameter.shape)


def _parameter(reader: WeightReader, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(to_torch(reader.read(name, shape)).to(dtype), requires_grad=False)


def to_torch(array: npt.NDArray[Any]) -> Tensor:
    """A tensor over an array's memory, BF16 included; not to be written to."""
    if array.dtype == ml_dtypes.bfloat16:
        return to_torch(array.view(np.int16)).view(torch.bfloat16)
    # torch warns of memory that it may not write to, and `frombuffer` alone takes it without a copy.
    flat = np.ascontiguousarray(array)
    if not flat.flags.writeable:
        flat = flat.copy()
    return torch.from_numpy(flat)


class UnetForExport(nn.Module):
    """The UNet with tensors only for inputs: what the graph of the `unet` component computes."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        text_embeds: Tensor,
        time_ids: Tensor,
    ) -> Tensor:
        """Predicted noise `[B, 4, h, w]` of the scaled latents `[B, 4, h, w]`."""
        conditions = {"text_embeds": text_embeds, "time_ids": time_ids}
        prediction: Tensor = self.unet(
            sample, timestep, encoder_hidden_states, added_cond_kwargs=conditions, return_dict=False
        )[0]
        return prediction


class TextEncoderForExport(nn.Module):
    """A CLIP text encoder as SDXL uses it: the last hidden states but one, and the pooled projection."""

    def __init__(self, encoder: nn.Module, *, pooled: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooled = pooled

    def forward(self, input_ids: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Token ids `[B, 77]` to hidden states `[B, 77, h]` and, if pooled, `[B, p]`."""
        output = self.encoder(input_ids, output_hidden_states=True)
        hidden: Tensor = output.hidden_states[-2]
        return (hidden, output.text_embeds) if self.pooled else hidden


class VaeDecoderForExport(nn.Module):
    """The VAE's decoder: latents, already divided by the scaling factor, to images in about [-1, 1].

    Latents and images are FP32 whatever the decoder computes in.
    """

    def __init__(self, vae: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.vae = vae
        self.dtype = dtype

    def forward(self, latents: Tensor) -> Tensor:
        """Latents `[B, 4, h, w]` to images `[B, 3, H, W]`."""
        images: Tensor = self.vae.decode(latents.to(self.dtype), return_dict=False)[0]  # type: ignore[operator]
        return images.float()
