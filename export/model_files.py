"""Where a model's files are: shipped, in a folder or on the hub; and whether its weights are whole."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixdq.configs.documents import read_json
from mixdq.configs.errors import ModelError
from mixdq.configs.presets import shipped_model

WEIGHT_STEMS: Mapping[str, str] = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
"""The name of each component's weights file, without variant and suffix, by subfolder."""
_HALF, _PLAIN = ".fp16.safetensors", ".safetensors"

FIRST_FILES = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "tokenizer/*.json",
    "tokenizer/*.txt",
    "tokenizer_2/*.json",
    "tokenizer_2/*.txt",
    *(f"{name}/config.json" for name in WEIGHT_STEMS),
    *(f"{name}/{stem}{_HALF}" for name, stem in WEIGHT_STEMS.items()),
)
"""What is fetched first of a repository, which has each weight several times over, at its root too."""

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+", re.ASCII)


def find_model(model: str) -> Path:
    """The folder of a model; one of the hub's is downloaded first.

    Raises:
        ModelError: it is no shipped model, no folder, and no hub id that could be downloaded.
    """
    if (shipped := shipped_model(model)) is not None:
        return shipped
    try:
        if (folder := Path(model)).is_dir():
            return folder.resolve()
    except OSError as error:
        raise ModelError(f"could not look for the model {model!r}: {error.strerror or error}") from error
    if _HUB_ID.fullmatch(model):
        return _download(model)
    raise ModelError(
        f"there is no model {model!r}: give `emoji-turbo`, a diffusers folder, or a hub id (`owner/name`)"
    )


def find_weights(folder: Path, stem: str) -> Path:
    """A component's weights: the FP16 file if there is one, else the plain one.

    The UNet's and the text encoders' engines hold no more than FP16; the VAE's weights are widened.

    Raises:
        ModelError: neither is there.
    """
    candidates = [folder / f"{stem}{suffix}" for suffix in (_HALF, _PLAIN)]
    for path in candidates:
        if path.is_file():
            return path
    raise ModelError(
        f"{folder} has no weights: expected {candidates[1].name} or {candidates[0].name}; "
        "download the model again, or save it with `safe_serialization=True` in one file"
    )


def check_weights(path: Path) -> None:
    """Compares a safetensors file's size with its header: 8 bytes of length, JSON, then the data.

    Raises:
        ModelError: it is no such file, or cut short.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
            text = file.read(length) if length < size else b""
        header: dict[str, Any] = json.loads(text)
        header.pop("__metadata__", None)
        end = 8 + length + max(entry["data_offsets"][1] for entry in header.values())
    # Whatever JSON holds instead of an object of objects, and nesting too deep for its parser.
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is no safetensors file, or is cut short; download it again") from error
    if size != end:
        raise ModelError(
            f"{path} is truncated or damaged: it holds {size} bytes where its header says {end}; "
            "download it again"
        )


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of the model's folder.

    Raises:
        ModelError: the file is missing, or holds something else.
    """
    return read_json(dict[str, Any], require(folder, name), ModelError)


def require(folder: Path, name: str) -> Path:
    """The path of a file inside the model's folder.

    Raises:
        ModelError: it is missing.
    """
    path = folder / name
    if not path.is_file():
        raise ModelError(
            f"{path} is missing, so {folder} is no complete SDXL pipeline folder; "
            "download the model again, or save it with `save_pretrained`"
        )
    return path


def _download(hub_id: str) -> Path:
    """Fetches a model; of components without FP16 weights the plain ones."""
    folder = _fetch(hub_id, FIRST_FILES)
    plain = [
        f"{name}/{stem}{_PLAIN}"
        for name, stem in WEIGHT_STEMS.items()
        if not (folder / name / f"{stem}{_HALF}").is_file()
    ]
    return _fetch(hub_id, plain) if plain else folder


def _fetch(hub_id: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(patterns)))
    except HFValidationError as error:
        raise ModelError(f"{hub_id} is neither a folder nor a hub id (`owner/name`): {error}") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"no weights for {hub_id}: there is no folder of that name and the hub could not be reached or "
            f"refused ({type(error).__name__}); download the model elsewhere and give its folder"
        ) from error
