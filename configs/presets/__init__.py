"""Presets: what a known model is compiled with when the command line says nothing."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_yaml
from mixdq.configs.errors import ModelError
from mixdq.configs.layers import LayerName

_PACKAGE = Path(str(files("mixdq.configs")))
_DEFAULT = "default"
_HUB_IDS = {"stabilityai/sdxl-turbo": "sdxl-turbo"}


@dataclass(frozen=True, slots=True, config=STRICT)
class Preset:
    """Defaults of one model.

    Attributes:
        resolutions: pixels; empty for the resolution that the UNet was configured for.
        protect: layers whose activation stays in floating point.
        prompts: file name of the calibration prompts, one a line, in the package's `prompts` folder.
    """

    resolutions: tuple[int, ...]
    protect: tuple[LayerName, ...]
    prompts: str

    @property
    def prompts_file(self) -> Path:
        """The calibration prompts."""
        return _PACKAGE / "prompts" / self.prompts


def preset_for(model: str) -> Preset:
    """The preset of a model's name, hub id or folder; the default preset for any other model."""
    name = _HUB_IDS.get(model, Path(model).name)
    path = _PACKAGE / "presets" / f"{name}.yaml"
    if not path.is_file():
        path = path.with_name(f"{_DEFAULT}.yaml")
    return read_yaml(Preset, path, ModelError)


def shipped_model(name: str) -> Path | None:
    """The folder of a model that ships with the package, or None."""
    folder = _PACKAGE / "models" / name
    return folder if (folder / "model_index.json").is_file() else None
