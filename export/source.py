"""The model to compile: an SDXL pipeline's configurations and weights, checked before any work begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixdq.configs.bundle import Component, PipelineSpec
from mixdq.configs.errors import ModelError, RequestError
from mixdq.configs.files import sha256_of_file, sha256_of_text
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.presets import model_name, preset_for
from mixdq.export.hub import WEIGHT_STEMS
from mixdq.export.model_configs import check_configs, check_pipeline
from mixdq.export.model_files import find_model, read_config
from mixdq.export.scheduler_configs import scheduler_spec, with_scheduler
from mixdq.export.tokenizer_files import TOKENIZERS, special_ids, tokenizer_files
from mixdq.export.weight_choice import choose_weights, find_vae
from mixdq.export.weights.reader import WeightSource

_CONFIG_FILES = {
    **{name: f"{name}/config.json" for name in WEIGHT_STEMS},
    "scheduler": "scheduler/scheduler_config.json",
}


@dataclass(frozen=True)
class SourceModel:
    """A checked model: what child processes get, too; it holds no weights, only where they are.

    Attributes:
        choice: what was asked for.
        folder: the diffusers folder of configurations and tokenizers.
        identity: name, and digest of configurations, tokenizers and weights.
        architecture: digest of the networks' configurations alone: what exported graphs depend on.
        configs: the components' configurations, by subfolder.
        config_files: where each of them was read from.
        weights: where the components' weights are, by subfolder; empty if they were not asked for.
    """

    choice: ModelChoice
    folder: Path
    identity: ModelIdentity
    architecture: str
    configs: Mapping[str, Mapping[str, Any]]
    config_files: Mapping[str, Path]
    weights: Mapping[str, WeightSource]

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
                f"{self.config_files['unet']} names no sample_size to take the resolution from; "
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
        tokenizers = [special_ids(self.folder, name) for name in TOKENIZERS]
        return PipelineSpec(
            latent_channels=self.configs["vae"]["latent_channels"],
            downsampling=self.downsampling,
            vae_scaling_factor=self.configs["vae"]["scaling_factor"],
            max_tokens=self.configs["text_encoder"]["max_position_embeddings"],
            bos_token_id=tokenizers[0]["bos"],
            eos_token_id=tokenizers[0]["eos"],
            pad_token_ids=(tokenizers[0]["pad"], tokenizers[1]["pad"]),
            scheduler=scheduler_spec(self.configs["scheduler"]),
            bos_digest=bos_digest,
        )


SUBFOLDERS: Mapping[Component, str] = {
    Component.TEXT_ENCODER: "text_encoder",
    Component.TEXT_ENCODER_2: "text_encoder_2",
    Component.UNET: "unet",
    Component.VAE_DECODER: "vae",
}
"""The folder of each component inside the model's folder."""


def open_source(choice: ModelChoice) -> SourceModel:
    """Opens a model and finds its weights.

    Everything that can be checked without reading weights is: the pipeline's class, the configurations, the
    tokenizers' special tokens, and the weight files' headers against their sizes.

    Raises:
        ModelError: no such model, no SDXL pipeline, or a missing, malformed or truncated file.
    """
    source = open_architecture(choice)
    weights = choose_weights(choice, source.folder, source.configs)
    for each in weights.values():
        each.open()
    digests = {name: each.digest() for name, each in weights.items()}
    text = json.dumps([source.identity.digest, digests], sort_keys=True)
    identity = replace(source.identity, digest=sha256_of_text(text))
    return replace(source, identity=identity, weights=weights)


def open_architecture(choice: ModelChoice) -> SourceModel:
    """A model without its weights: what listing its layers and making plans needs.

    Its identity's digest is of configurations and tokenizers.

    Raises:
        ModelError: see `open_source`.
    """
    folder = find_model(choice.model, choice.variant)
    check_pipeline(read_config(folder, "model_index.json"), folder)
    config_files = {name: folder / file for name, file in _CONFIG_FILES.items()}
    if choice.vae is not None:
        config_files["vae"] = find_vae(choice.vae) / "config.json"
    configs = {name: read_config(path.parent, path.name) for name, path in config_files.items()}
    if choice.scheduler is not None:
        configs["scheduler"] = with_scheduler(configs["scheduler"], choice.scheduler)
    check_configs(folder, config_files, configs)
    networks = {name: config for name, config in configs.items() if name != "scheduler"}
    architecture = sha256_of_text(json.dumps([networks, choice.vae_precision], sort_keys=True))
    digest = hashlib.sha256(json.dumps([architecture, configs["scheduler"]], sort_keys=True).encode())
    for name in TOKENIZERS:
        special_ids(folder, name)
        for path in tokenizer_files(folder, name):
            digest.update(f"{path.relative_to(folder)} {sha256_of_file(path)}\n".encode())
    identity = ModelIdentity(model_name(choice.model), digest.hexdigest())
    return SourceModel(choice, folder, identity, architecture, configs, config_files, {})
