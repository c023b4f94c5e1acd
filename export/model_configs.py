"""The few fields of a model's configurations that mixdq itself reads, checked before any work begins."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import parse
from mixdq.configs.errors import ModelError

_READ = ConfigDict(extra="ignore", allow_inf_nan=False)
_Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
_Widths = Annotated[tuple[_Count, ...], Field(min_length=1)]
_Beta = Annotated[float, Field(strict=True, gt=0, lt=1)]


@dataclass(frozen=True, slots=True, config=_READ)
class UnetConfiguration:
    """Shapes of the UNet's inputs; no `sample_size` means that a resolution must be given."""

    block_out_channels: _Widths
    in_channels: _Count
    out_channels: _Count
    cross_attention_dim: _Count
    addition_time_embed_dim: _Count
    projection_class_embeddings_input_dim: _Count
    sample_size: _Count | None = None


@dataclass(frozen=True, slots=True, config=_READ)
class VaeConfiguration:
    """Shape and scale of the latents."""

    block_out_channels: _Widths
    latent_channels: _Count
    scaling_factor: Annotated[float, Field(strict=True, gt=0)]


@dataclass(frozen=True, slots=True, config=_READ)
class TextEncoderConfiguration:
    """Length and alphabet of a prompt."""

    max_position_embeddings: _Count
    vocab_size: _Count


@dataclass(frozen=True, slots=True, config=_READ)
class SchedulerConfiguration:
    """The noise levels."""

    num_train_timesteps: _Count
    beta_start: _Beta
    beta_end: _Beta


# Anything else in these fields would give other pictures than diffusers does, and no error.
_ONLY: Mapping[tuple[str, str], tuple[object, ...]] = {
    ("unet", "addition_embed_type"): ("text_time",),
    ("vae", "latents_mean"): (None,),
    ("vae", "latents_std"): (None,),
    ("scheduler", "_class_name"): ("EulerAncestralDiscreteScheduler",),
    ("scheduler", "prediction_type"): ("epsilon",),
    ("scheduler", "timestep_spacing"): ("trailing",),
    ("scheduler", "beta_schedule"): ("scaled_linear", "linear"),
    ("scheduler", "trained_betas"): (None,),
    ("scheduler", "rescale_betas_zero_snr"): (False, None),
}


def check_configs(folder: Path, files: Mapping[str, Path], configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks the configurations of a pipeline.

    Args:
        folder: the model's, for messages.
        files: where each configuration was read from, by component.
        configs: their contents, of the same components.

    Raises:
        ModelError: no one-step SDXL pipeline that the runtime can repeat, or fields that are missing or of
            the wrong type; each is named.
    """
    wrong = [
        _difference(component, field, configs[component].get(field), wanted)
        for (component, field), wanted in _ONLY.items()
        if configs[component].get(field) not in wanted
    ]
    if wrong:
        raise ModelError(f"{folder} is no one-step SDXL pipeline that mixdq can compile: {'; '.join(wrong)}")
    unet = parse(UnetConfiguration, configs["unet"], str(files["unet"]), ModelError)
    vae = parse(VaeConfiguration, configs["vae"], str(files["vae"]), ModelError)
    for name in ("text_encoder", "text_encoder_2"):
        parse(TextEncoderConfiguration, configs[name], str(files[name]), ModelError)
    parse(SchedulerConfiguration, configs["scheduler"], str(files["scheduler"]), ModelError)
    for field, channels in (("in_channels", unet.in_channels), ("out_channels", unet.out_channels)):
        if channels != vae.latent_channels:
            raise ModelError(
                f"{folder}: the unet's {field} is {channels}, but the vae's latent_channels is "
                f"{vae.latent_channels}; mixdq compiles text-to-image pipelines, where they are equal"
            )


def _difference(component: str, field: str, found: object, wanted: tuple[object, ...]) -> str:
    choices = " or ".join(repr(value) for value in wanted)
    return f"the {component}'s {field} is {reprlib.repr(found)} instead of {choices}"
