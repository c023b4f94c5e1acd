"""The torch modules of a model's components, loaded from its folder and checked."""

from __future__ import annotations

import json
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection
from transformers.utils import logging as transformers_logging

from mixdq.configs.bundle import Component
from mixdq.configs.errors import ModelError
from mixdq.export.source import SUBFOLDERS, SourceModel

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

_CLASSES: dict[Component, Any] = {
    Component.TEXT_ENCODER: CLIPTextModel,
    Component.TEXT_ENCODER_2: CLIPTextModelWithProjection,
    Component.UNET: UNet2DConditionModel,
    Component.VAE_DECODER: AutoencoderKL,
}


def load_module(source: SourceModel, component: Component, dtype: torch.dtype) -> nn.Module:
    """Loads one component in evaluation mode.

    Args:
        source: the checked model folder.
        component: which network.
        dtype: the floating-point type of its parameters.

    Raises:
        ModelError: tensors are missing, unknown or wrongly shaped, or hold NaN or infinity; the first ten
            are named.
    """
    subfolder = SUBFOLDERS[component]
    options: dict[str, Any] = {"torch_dtype" if component in _DIFFUSERS else "dtype": dtype}
    if ".fp16." in source.weight_files[subfolder].name:
        options["variant"] = "fp16"
    try:
        module, loading = _CLASSES[component].from_pretrained(
            source.folder,
            subfolder=subfolder,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"{source.folder / subfolder} can't be loaded: {_first_line(error)}") from error
    _check_loading(source, subfolder, loading)
    _check_finite(source, subfolder, module)
    loaded: nn.Module = module.eval().requires_grad_(False)
    return loaded


def empty_unet(source: SourceModel) -> nn.Module:
    """The UNet's modules on the meta device: shapes without weights."""
    with torch.device("meta"):
        unet: nn.Module = UNet2DConditionModel.from_config(dict(source.configs["unet"]))
    return unet.eval()


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
    """The VAE's decoder: latents, already divided by the scaling factor, to images in about [-1, 1]."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, latents: Tensor) -> Tensor:
        """Latents `[B, 4, h, w]` to images `[B, 3, H, W]`."""
        images: Tensor = self.vae.decode(latents, return_dict=False)[0]  # type: ignore[operator]
        return images


_DIFFUSERS = (Component.UNET, Component.VAE_DECODER)


def _check_loading(source: SourceModel, subfolder: str, loading: dict[str, Any]) -> None:
    faults = [
        f"{word} {', '.join(map(str, sorted(loading[key])[:10]))} ({len(loading[key])} in all)"
        for key, word in (
            ("missing_keys", "missing"),
            ("unexpected_keys", "unknown"),
            ("mismatched_keys", "wrongly shaped"),
        )
        if loading.get(key)
    ]
    if faults:
        raise ModelError(
            f"{source.weight_files[subfolder]} does not fit {source.folder / subfolder / 'config.json'}: "
            f"{'; '.join(faults)}; use the weights and the configuration of one model"
        )


def _check_finite(source: SourceModel, subfolder: str, module: nn.Module) -> None:
    bad = [name for name, tensor in module.state_dict().items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise ModelError(
            f"{source.weight_files[subfolder]} holds NaN or infinity in {', '.join(bad[:10])} "
            f"({len(bad)} tensors); the training diverged or the file is damaged: use another checkpoint"
        )


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), json.dumps(str(error)))
