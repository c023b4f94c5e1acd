"""Models of the hub: which files are fetched, where the hub can be reached."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixdq.configs.errors import ModelError, StorageError
from mixdq.configs.files import code_of_full_disk

WEIGHT_STEMS: Mapping[str, str] = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
"""The name of each component's weights file, without variant and suffix, by subfolder."""

DOCUMENTS = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "tokenizer/*.json",
    "tokenizer/*.txt",
    "tokenizer_2/*.json",
    "tokenizer_2/*.txt",
    *(f"{name}/config.json" for name in WEIGHT_STEMS),
)
_HALF = "fp16"
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+", re.ASCII)


def is_hub_id(text: str) -> bool:
    """Whether a text has the form `owner/name`."""
    return _HUB_ID.fullmatch(text) is not None


def fetch_pipeline(hub_id: str, variant: str | None) -> Path:
    """Downloads a pipeline; a repository has each weight several times over, and one of each is fetched.

    Args:
        hub_id: `owner/name`.
        variant: of the weights; None for FP16, and the plain ones of components without.

    Raises:
        ModelError: no such repository, or the hub can't be reached.
        StorageError: the disk is full.
    """
    first = [
        pattern for name, stem in WEIGHT_STEMS.items() for pattern in _files(name, stem, variant or _HALF)
    ]
    folder = _fetch(hub_id, [*DOCUMENTS, *first])
    if variant is not None:
        return folder
    without = [name for name in WEIGHT_STEMS if not any((folder / name).glob(f"*.{_HALF}*.safetensors"))]
    plain = [pattern for name in without for pattern in _files(name, WEIGHT_STEMS[name], None)]
    return _fetch(hub_id, plain) if plain else folder


def fetch_vae(hub_id: str) -> Path:
    """Downloads an `AutoencoderKL` of its own, or the one of a pipeline.

    Raises:
        ModelError: no such repository, or the hub can't be reached.
        StorageError: the disk is full.
    """
    stem = WEIGHT_STEMS["vae"]
    return _fetch(
        hub_id, ["config.json", f"{stem}.safetensors", "vae/config.json", f"vae/{stem}.safetensors"]
    )


def _files(name: str, stem: str, variant: str | None) -> list[str]:
    """A component's weights: in one file, or in shards with their index."""
    mark = "" if variant is None else f".{variant}"
    index = [f"{name}/{stem}.safetensors.index{mark}.json", f"{name}/{stem}{mark}.safetensors.index.json"]
    shards = [f"{name}/{stem}{mark}-*-of-*.safetensors", f"{name}/{stem}-*-of-*{mark}.safetensors"]
    return [f"{name}/{stem}{mark}.safetensors", *index, *shards]


def _fetch(hub_id: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(patterns)))
    except HFValidationError as error:
        raise ModelError(f"{hub_id} is neither a folder nor a hub id (`owner/name`): {error}") from error
    # The hub's downloader in Rust raises everything as RuntimeError.
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, RuntimeError) as error:
        if (code := code_of_full_disk(error)) is not None:
            raise StorageError(
                f"could not download {hub_id} to {constants.HF_HUB_CACHE}: {os.strerror(code)}. Free some "
                "space, or set HF_HOME to a folder with more, then run the same command again: it resumes"
            ) from error
        raise ModelError(
            f"no weights for {hub_id}: there is no folder of that name and the hub could not be reached or "
            f"refused ({type(error).__name__}); download the model elsewhere and give its folder"
        ) from error
