"""The few fields of a model's configurations that mixdq itself reads, checked before any work begins."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import parse
from mixdq.configs.errors import MixdqError, ModelError
from mixdq.export.model_files import read_config
from mixdq.export.scheduler_configs import allowed_values, scheduler_spec

PIPELINE_CLASS = "StableDiffusionXLPipeline"
TIME_IDS = 6
"""What an SDXL UNet is told of the picture: original size, crop and target size, two numbers each."""

_READ = ConfigDict(extra="ignore", allow_inf_nan=False)
_Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
_Widths = Annotated[tuple[_Count, ...], Field(min_length=1)]


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
    """Length and alphabet of a prompt, and widths of its embeddings (absent ones are transformers' 512)."""

    max_position_embeddings: _Count
    vocab_size: _Count
    hidden_size: _Count = 512
    projection_dim: _Count = 512


# Anything else in these fields would give other pictures than diffusers does, and no error.
_ONLY: Mapping[tuple[str, str], tuple[object, ...]] = {
    ("unet", "addition_embed_type"): ("text_time",),
    ("unet", "time_cond_proj_dim"): (None,),
    ("unet", "encoder_hid_dim_type"): (None,),
    ("unet", "class_embed_type"): (None,),
    ("vae", "latents_mean"): (None,),
    ("vae", "latents_std"): (None,),
}


def check_configs(folder: Path, files: Mapping[str, Path], configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks the configurations of a pipeline.

    Args:
        folder: the model's, for messages.
        files: where each configuration was read from, by component.
        configs: their contents, of the same components.

    Raises:
        ModelError: no SDXL pipeline that the runtime can repeat, or fields that are missing, of the wrong
            type or at odds with each other; each is named.
    """
    of_scheduler = allowed_values(configs["scheduler"]).items()
    wanted_of = {**_ONLY, **{("scheduler", field): wanted for field, wanted in of_scheduler}}
    wrong = [
        _difference(component, field, configs[component].get(field), wanted)
        for (component, field), wanted in wanted_of.items()
        if configs[component].get(field) not in wanted
    ]
    if wrong:
        raise ModelError(f"{folder} is no SDXL pipeline that mixdq can compile: {'; '.join(wrong)}")
    unet = parse(UnetConfiguration, configs["unet"], str(files["unet"]), ModelError)
    vae = parse(VaeConfiguration, configs["vae"], str(files["vae"]), ModelError)
    first, second = (
        parse(TextEncoderConfiguration, configs[name], str(files[name]), ModelError)
        for name in ("text_encoder", "text_encoder_2")
    )
    scheduler_spec(configs["scheduler"], str(files["scheduler"]))
    for field, channels in (("in_channels", unet.in_channels), ("out_channels", unet.out_channels)):
        if channels != vae.latent_channels:
            raise ModelError(
                f"{folder}: the unet's {field} is {channels}, but the vae's latent_channels is "
                f"{vae.latent_channels}; mixdq compiles text-to-image pipelines, where they are equal"
            )
    _check_conditioning(folder, unet, first, second)


def _check_conditioning(
    folder: Path,
    unet: UnetConfiguration,
    first: TextEncoderConfiguration,
    second: TextEncoderConfiguration,
) -> None:
    text = first.hidden_size + second.hidden_size
    if unet.cross_attention_dim != text:
        raise ModelError(
            f"{folder}: the unet's cross_attention_dim is {unet.cross_attention_dim}, but the text encoders' "
            f"hidden sizes are {first.hidden_size} and {second.hidden_size}, {text} together; these are no "
            "parts of one SDXL model"
        )
    added = TIME_IDS * unet.addition_time_embed_dim + second.projection_dim
    if unet.projection_class_embeddings_input_dim != added:
        raise ModelError(
            f"{folder}: the unet's projection_class_embeddings_input_dim is "
            f"{unet.projection_class_embeddings_input_dim}, but {TIME_IDS} time ids of "
            f"{unet.addition_time_embed_dim} and text_encoder_2's projection_dim of {second.projection_dim} "
            f"make {added}; mixdq compiles text-to-image SDXL, not its refiner"
        )


_PARTS: Mapping[str, str] = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "CLIPTextModelWithProjection",
}
# Of the full-size SDXL, for those who expected a folder to hold it.
_SDXL_UNET: Mapping[str, object] = {
    "_class_name": "UNet2DConditionModel",
    "in_channels": 4,
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "block_out_channels": [320, 640, 1280],
}


def check_pipeline(index: Mapping[str, Any], folder: Path) -> None:
    """Refuses a folder of anything but a text-to-image SDXL pipeline, before any other file is missed.

    Args:
        index: contents of the folder's `model_index.json`.
        folder: the model's; its UNet's configuration is looked at where there is one.

    Raises:
        ModelError: another pipeline, or another network in one of its places; says what differs.
    """
    parts = [
        f"its {part} is {found} instead of {wanted}" if found else f"it has no {part} (a {wanted})"
        for part, wanted in _PARTS.items()
        if (found := _class_of(index, part)) != wanted
    ]
    pipeline = index.get("_class_name")
    if pipeline == PIPELINE_CLASS:
        if not parts:
            return
        start, differences = f"holds a {pipeline} with other parts than SDXL's", parts
    else:
        start = f"holds a {pipeline or 'folder without a pipeline class'}, not a {PIPELINE_CLASS}"
        differences = parts + _additions(index) + _unet_differences(folder)
    raise ModelError(
        f"{folder} {': '.join(filter(None, [start, '; '.join(differences)]))}; mixdq compiles text-to-image "
        "SDXL: give the folder that `save_pretrained` of such a pipeline wrote"
    )


def _class_of(index: Mapping[str, Any], part: str) -> str | None:
    """The class that an index has for a part, from `["diffusers", "AutoencoderKL"]`."""
    match index.get(part):
        case [_, str(name)]:
            return name
    return None


def _additions(index: Mapping[str, Any]) -> list[str]:
    """What other pipelines have and SDXL's hasn't."""
    parts = [
        f"it has a {part} ({_class_of(index, part)})"
        for part in ("transformer", "text_encoder_3", "controlnet", "prior")
        if _class_of(index, part)
    ]
    aesthetic = index.get("requires_aesthetics_score")
    return parts + ([f"requires_aesthetics_score is {reprlib.repr(aesthetic)}"] if aesthetic else [])


def _unet_differences(folder: Path) -> list[str]:
    unet, second = _readable(folder, "unet"), _readable(folder, "text_encoder_2")
    differences = [
        _difference("unet", field, unet.get(field), (wanted,))
        for field, wanted in _SDXL_UNET.items()
        if unet and unet.get(field) != wanted
    ]
    ids = _time_ids(unet, second)
    if ids not in (None, TIME_IDS):
        differences.append(f"the unet takes {ids} time ids instead of {TIME_IDS}")
    return differences


def _time_ids(unet: Mapping[str, Any], second: Mapping[str, Any]) -> int | None:
    """How many numbers a UNet is told beside the pooled text, as far as the configurations say."""
    width, added = unet.get("addition_time_embed_dim"), unet.get("projection_class_embeddings_input_dim")
    pooled = second.get("projection_dim")
    if not (isinstance(width, int) and isinstance(added, int) and isinstance(pooled, int) and width > 0):
        return None
    return (added - pooled) // width


def _readable(folder: Path, part: str) -> Mapping[str, Any]:
    """A part's configuration; empty where there is none."""
    try:
        return read_config(folder, f"{part}/config.json")
    except MixdqError:
        return {}


def _difference(component: str, field: str, found: object, wanted: tuple[object, ...]) -> str:
    choices = " or ".join(repr(value) for value in wanted)
    return f"the {component}'s {field} is {reprlib.repr(found)} instead of {choices}"
