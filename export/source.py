"""The model to compile: a diffusers folder of an SDXL pipeline, checked before any work begins."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixdq.configs.bundle import Component, PipelineSpec, SchedulerSpec
from mixdq.configs.errors import ModelError, RequestError
from mixdq.configs.files import sha256_of_file
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.presets import model_name, preset_for
from mixdq.export.model_configs import check_configs
from mixdq.export.model_files import (
    WEIGHT_STEMS,
    check_weights,
    find_model,
    find_weights,
    read_config,
    require,
)

PIPELINE_CLASS = "StableDiffusionXLPipeline"
_CONFIG_FILES = {
    **{name: f"{name}/config.json" for name in WEIGHT_STEMS},
    "scheduler": "scheduler/scheduler_config.json",
}
_TOKENIZERS = ("tokenizer", "tokenizer_2")
_TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json")
_MORE_TOKENIZER_FILES = ("special_tokens_map.json", "tokenizer.json", "added_tokens.json")


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
        """The preset's resolutions, or the one that the UNet was configured for.

        Raises:
            ModelError: it was configured for none.
        """
        if preset := preset_for(self.identity.name).resolutions:
            return preset
        if (side := self.configs["unet"].get("sample_size")) is None:
            raise ModelError(
                f"{self.folder / _CONFIG_FILES['unet']} names no sample_size to take the resolution from; "
                "give --resolution"
            )
        return (side * self.downsampling,)

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
        tokenizers = [_tokenizer_ids(self.folder, name) for name in _TOKENIZERS]
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


SUBFOLDERS: Mapping[Component, str] = {
    Component.TEXT_ENCODER: "text_encoder",
    Component.TEXT_ENCODER_2: "text_encoder_2",
    Component.UNET: "unet",
    Component.VAE_DECODER: "vae",
}
"""The folder of each component inside the model's folder."""


def open_source(model: str) -> SourceModel:
    """Opens a model: `emoji-turbo`, a diffusers folder, or a hub id where the hub can be reached.

    Everything that can be checked without loading weights is: the pipeline's class, the configurations, the
    tokenizers' special tokens, and the weight files' headers against their sizes.

    Raises:
        ModelError: no such model, no SDXL pipeline, or a missing, malformed or truncated file.
    """
    folder = find_model(model)
    index = read_config(folder, "model_index.json")
    if (found := index.get("_class_name")) != PIPELINE_CLASS:
        raise ModelError(
            f"{folder} holds a {found or 'folder without a pipeline class'}, not a {PIPELINE_CLASS}; "
            "mixdq compiles SDXL pipelines: give the folder that `save_pretrained` of one wrote"
        )
    configs = {name: read_config(folder, file) for name, file in _CONFIG_FILES.items()}
    config_files = {name: folder / file for name, file in _CONFIG_FILES.items()}
    check_configs(folder, config_files, configs)
    weights = {name: find_weights(folder / name, stem) for name, stem in WEIGHT_STEMS.items()}
    for path in weights.values():
        check_weights(path)
    tokenizer_files = [path for name in _TOKENIZERS for path in _tokenizer_files(folder, name)]
    for name in _TOKENIZERS:
        _tokenizer_ids(folder, name)
    digest = _digest([*config_files.values(), *tokenizer_files, *weights.values()], folder)
    return SourceModel(folder, ModelIdentity(model_name(model), digest), configs, weights)


def _tokenizer_files(folder: Path, name: str) -> list[Path]:
    """All files that a tokenizer is read from; not every model has the last three."""
    more = [folder / name / file for file in _MORE_TOKENIZER_FILES]
    needed = [require(folder, f"{name}/{file}") for file in _TOKENIZER_FILES]
    return needed + [path for path in more if path.is_file()]


def _tokenizer_ids(folder: Path, name: str) -> dict[str, int]:
    vocabulary = read_config(folder, f"{name}/vocab.json")
    config = read_config(folder, f"{name}/tokenizer_config.json")

    def token_id(key: str) -> int:
        token = config.get(key)
        text = token.get("content") if isinstance(token, dict) else token
        number = vocabulary.get(text) if isinstance(text, str) else None
        if not isinstance(number, int):
            raise ModelError(
                f"{folder / name}: the {key} {text!r} of tokenizer_config.json has no number in vocab.json; "
                "the tokenizer is damaged: download the model again"
            )
        return number

    return {short: token_id(f"{short}_token") for short in ("bos", "eos", "pad")}


def _digest(paths: list[Path], folder: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(folder)} {sha256_of_file(path)}\n".encode())
    return digest.hexdigest()
