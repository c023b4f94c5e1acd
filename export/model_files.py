"""Where a model's folder is: shipped, on this machine, or on the hub; and the documents in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixdq.configs.documents import read_json
from mixdq.configs.errors import ModelError
from mixdq.configs.presets import shipped_model
from mixdq.export.hub import fetch_pipeline, is_hub_id


def find_model(model: str, variant: str | None) -> Path:
    """The folder of a model; one of the hub's is downloaded first.

    Args:
        model: a shipped model's name, a folder, or a hub id.
        variant: of the weights to download; None for FP16 where there is such, else the plain ones.

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
    if is_hub_id(model):
        return fetch_pipeline(model, variant)
    raise ModelError(
        f"there is no model {model!r}: give `emoji-turbo`, `sdxl-turbo`, a diffusers folder, or a hub id "
        "(`owner/name`)"
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
