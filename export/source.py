"""The model to compile: a diffusers folder of an SDXL pipeline, checked before any work begins."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixdq.configs.bundle import Component, PipelineSpec, SchedulerSpec
from mixdq.configs.errors import ModelError, RequestError
from mixdq.configs.files import sha256_of_file
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.presets import preset_for, shipped_model

PIPELINE_CLASS = "StableDiffusionXLPipeline"
_SCHEDULER_CLASS = "EulerAncestralDiscreteScheduler"
_WEIGHT_FILES = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
_TOKENIZER_FILES = ("vocab.json", "merges.txt")


@dataclass(frozen=True)
class SourceModel:
    """A checked model folder.

    Attributes:
        folder: the diffusers folder.
        identity: name, and digest of configurations and weights.
        configs: the components' configurations, by subfolder.
        weight_files: the components' safetensors, by subfolder.
    """

    folder: Path
    identity: ModelIdentity
    configs: Mapping[str, Mapping[str, Any]]
    weight_files: Mapping[str, Path]

    @property
    def downsampling(self) -> int:
        """Pixels per latent pixel along one side."""
        return int(2 ** (len(self.configs["vae"]["block_out_channels"]) - 1))

    @property
    def resolution_step(self) -> int:
        """Resolutions must be multiples of this: the VAE's and the UNet's downsampling together."""
        return int(self.downsampling * 2 ** (len(self.configs["unet"]["block_out_channels"]) - 1))

    @property
    def resolutions(self) -> tuple[int, ...]:
        """The preset's resolutions, or the one that the UNet was configured for."""
        preset = preset_for(self.identity.name).resolutions
        return preset or (self.configs["unet"]["sample_size"] * self.downsampling,)

    def check_resolution(self, resolution: int) -> None:
        """Refuses a resolution that the UNet can't halve evenly.

        Raises:
            RequestError: not a positive multiple of `resolution_step`; the nearest ones are named.
        """
        step = self.resolution_step
        if resolution < step or resolution % step:
            below = max(resolution // step * step, step)
            raise RequestError(
                f"resolution {resolution} is not a multiple of {step}, the step of {self.identity.name}; "
                f"the nearest are {below} and {below + step}"
            )

    def pipeline_spec(self, bos_digest: str) -> PipelineSpec:
        """What the runtime needs to know beside the engines."""
        scheduler = self.configs["scheduler"]
        tokenizers = [_tokenizer_ids(self.folder / name) for name in ("tokenizer", "tokenizer_2")]
        return PipelineSpec(
            latent_channels=self.configs["vae"]["latent_channels"],
            downsampling=self.downsampling,
            vae_scaling_factor=self.configs["vae"]["scaling_factor"],
            max_tokens=self.configs["text_encoder"]["max_position_embeddings"],
            bos_token_id=tokenizers[0]["bos"],
            eos_token_id=tokenizers[0]["eos"],
            pad_token_ids=(tokenizers[0]["pad"], tokenizers[1]["pad"]),
            scheduler=SchedulerSpec(
                train_timesteps=scheduler["num_train_timesteps"],
                beta_start=scheduler["beta_start"],
                beta_end=scheduler["beta_end"],
                beta_schedule=scheduler["beta_schedule"],
            ),
            bos_digest=bos_digest,
        )

    def tensor_shapes(self, subfolder: str) -> Mapping[str, tuple[int, ...]]:
        """Names and shapes of a component's tensors, from the header of its weights file."""
        header = _read_header(self.weight_files[subfolder])
        return {name: tuple(entry["shape"]) for name, entry in header.items()}


SUBFOLDERS: Mapping[Component, str] = {
    Component.TEXT_ENCODER: "text_encoder",
    Component.TEXT_ENCODER_2: "text_encoder_2",
    Component.UNET: "unet",
    Component.VAE_DECODER: "vae",
}
"""The folder of each component inside the model's folder."""


def open_source(model: str) -> SourceModel:
    """Opens a model: `emoji-turbo`, a diffusers folder, or a hub id where the hub can be reached.

    Everything that can be checked without loading weights is: the pipeline's class, the scheduler, the
    configurations, and the weight files' headers against their sizes.

    Raises:
        ModelError: no such model, no SDXL pipeline, or a missing or truncated file.
    """
    folder = _find(model)
    index = _read_json(folder / "model_index.json")
    if (found := index.get("_class_name")) != PIPELINE_CLASS:
        raise ModelError(
            f"{folder} holds a {found or 'folder without a pipeline class'}, not a {PIPELINE_CLASS}; "
            "mixdq compiles SDXL pipelines: give the folder that `save_pretrained` of one wrote"
        )
    configs = {name: _read_json(folder / name / "config.json") for name in _WEIGHT_FILES}
    configs["scheduler"] = _read_json(folder / "scheduler" / "scheduler_config.json")
    _check_configs(folder, configs)
    weights = {name: _find_weights(folder / name, stem) for name, stem in _WEIGHT_FILES.items()}
    tokenizer_files = [
        _require(folder / name / file) for name in ("tokenizer", "tokenizer_2") for file in _TOKENIZER_FILES
    ]
    for path in weights.values():
        _read_header(path)
    config_files = [folder / name / "config.json" for name in _WEIGHT_FILES]
    config_files.append(folder / "scheduler" / "scheduler_config.json")
    digest = _digest([*config_files, *tokenizer_files, *weights.values()], folder)
    return SourceModel(folder, ModelIdentity(Path(model).name, digest), configs, weights)


def _find(model: str) -> Path:
    if (shipped := shipped_model(model)) is not None:
        return shipped
    folder = Path(model)
    if folder.is_dir():
        return folder.resolve()
    if model.count("/") == 1 and not model.startswith((".", "/", "~")):
        return _download(model)
    raise ModelError(
        f"there is no model {model!r}: give `emoji-turbo`, a diffusers folder, or a hub id (`owner/name`)"
    )


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = ["*.json", "*.txt", "*.safetensors"]
    try:
        return Path(snapshot_download(hub_id, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"no weights for {hub_id}: there is no folder of that name and the hub could not be reached or "
            f"refused ({type(error).__name__}); download the model elsewhere and give its folder"
        ) from error


def _check_configs(folder: Path, configs: Mapping[str, Mapping[str, Any]]) -> None:
    unet, scheduler = configs["unet"], configs["scheduler"]
    wrong = [
        f"{what} is {found!r} instead of {wanted!r}"
        for what, found, wanted in (
            ("the UNet's addition_embed_type", unet.get("addition_embed_type"), "text_time"),
            ("the scheduler", scheduler.get("_class_name"), _SCHEDULER_CLASS),
            ("the scheduler's prediction_type", scheduler.get("prediction_type"), "epsilon"),
            ("the scheduler's timestep_spacing", scheduler.get("timestep_spacing"), "trailing"),
        )
        if found != wanted
    ]
    if wrong:
        raise ModelError(f"{folder} is no one-step SDXL pipeline: {'; '.join(wrong)}")


def _find_weights(folder: Path, stem: str) -> Path:
    candidates = [folder / f"{stem}.safetensors", folder / f"{stem}.fp16.safetensors"]
    for path in candidates:
        if path.is_file():
            return path
    raise ModelError(
        f"{folder} has no weights: expected {candidates[0].name} or {candidates[1].name}; "
        "download the model again, or save it with `safe_serialization=True` in one file"
    )


def _read_header(path: Path) -> Mapping[str, Any]:
    """The tensor table of a safetensors file: 8 bytes of length, JSON, then the data."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
        text = file.read(length) if length < size else b""
    try:
        header: dict[str, Any] = json.loads(text)
        header.pop("__metadata__", None)
        end = 8 + length + max(entry["data_offsets"][1] for entry in header.values())
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is no safetensors file, or is cut short; download it again") from error
    if size != end:
        raise ModelError(
            f"{path} is truncated or damaged: it holds {size} bytes where its header says {end}; "
            "download it again"
        )
    return header


def _tokenizer_ids(folder: Path) -> dict[str, int]:
    vocabulary = _read_json(folder / "vocab.json")
    config = _read_json(folder / "tokenizer_config.json")

    def token_id(key: str) -> int:
        token = config.get(key)
        text = token["content"] if isinstance(token, dict) else token
        if text not in vocabulary:
            raise ModelError(f"{folder}: the {key} {text!r} is not in vocab.json; the tokenizer is damaged")
        return int(vocabulary[text])

    return {name: token_id(f"{name}_token") for name in ("bos", "eos", "pad")}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_require(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}); download the model again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no JSON object; download the model again")
    return value


def _require(path: Path) -> Path:
    if not path.is_file():
        raise ModelError(f"{path} is missing; {path.parent.parent} is no complete SDXL pipeline folder")
    return path


def _digest(paths: list[Path], folder: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(folder)} {sha256_of_file(path)}\n".encode())
    return digest.hexdigest()
