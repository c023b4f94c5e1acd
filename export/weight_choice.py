"""From what the command line says of weights to a source of each component's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixdq.configs.errors import ModelError
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.presets import preset_for, shipped_model
from mixdq.export.hub import WEIGHT_STEMS, fetch_vae, is_hub_id
from mixdq.export.model_configs import check_pipeline
from mixdq.export.model_files import find_model, read_config
from mixdq.export.weights.checkpoint import CheckpointWeights
from mixdq.export.weights.files import find_stored
from mixdq.export.weights.lora import FusedWeights, parse_lora
from mixdq.export.weights.reader import WeightSource
from mixdq.export.weights.synthetic import SyntheticWeights

_SYNTHETIC = "synthetic"
_INDEX = "model_index.json"


def choose_weights(
    choice: ModelChoice, folder: Path, configs: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, WeightSource]:
    """Where the weights of each component are, by subfolder.

    Args:
        choice: what the command line says.
        folder: the model's configurations.
        configs: their contents, by subfolder.

    Raises:
        ModelError: there are none, or not where the command line says.
    """
    weights = _base(choice, folder)
    if choice.vae is not None:
        weights["vae"] = find_stored(find_vae(choice.vae), WEIGHT_STEMS["vae"], None)
    if choice.loras:
        loras = tuple(parse_lora(lora) for lora in choice.loras)
        weights["unet"] = FusedWeights(weights["unet"], loras, configs["unet"])
    return weights


def find_vae(vae: str) -> Path:
    """The folder of an `AutoencoderKL`; of a whole pipeline its `vae` folder.

    Raises:
        ModelError: no such folder, and no hub id that could be downloaded.
    """
    folder = Path(vae)
    if not folder.is_dir():
        if not is_hub_id(vae):
            raise ModelError(f"there is no VAE {vae!r}: give the folder of one, or a hub id (`owner/name`)")
        folder = fetch_vae(vae)
    return folder / "vae" if (folder / "vae").is_dir() else folder


def _base(choice: ModelChoice, folder: Path) -> dict[str, WeightSource]:
    words = choice.weights
    if words is None and shipped_model(choice.model) is not None:
        words = preset_for(choice.model).weights
        if words is not None:
            folder = _published(choice, words)
    elif words is not None:
        name, _, seed = words.partition(":")
        if name == _SYNTHETIC:
            return {part: SyntheticWeights(_seed(words, seed), part) for part in WEIGHT_STEMS}
        if (path := Path(words)).is_file():
            return {part: CheckpointWeights(path.resolve(), part, folder) for part in WEIGHT_STEMS}
        folder = find_model(words, choice.variant)
        if (folder / _INDEX).is_file():
            check_pipeline(read_config(folder, _INDEX), folder)
    return {part: find_stored(folder / part, stem, choice.variant) for part, stem in WEIGHT_STEMS.items()}


def _published(choice: ModelChoice, hub_id: str) -> Path:
    """The published weights of a model whose configurations alone are shipped."""
    try:
        return find_model(hub_id, choice.variant)
    except ModelError as error:
        raise ModelError(
            f"{choice.model} is shipped without weights, and those of {hub_id} could not be downloaded "
            f"({type(error.__cause__ or error).__name__}); give them with --weights DIR (a diffusers "
            "folder), --weights FILE.safetensors, or try the compiler on --weights synthetic"
        ) from error


def _seed(words: str, text: str) -> int:
    if not text and not words.endswith(":"):
        return 0
    if not text.isascii() or not text.isdigit():
        raise ModelError(f"{words!r} names no seed: expected `synthetic` or `synthetic:SEED` with a number")
    return int(text)
