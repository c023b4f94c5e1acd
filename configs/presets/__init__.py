"""Presets: what a known model is compiled with when the command line says nothing."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_yaml
from mixdq.configs.errors import ModelError
from mixdq.configs.layers import LayerName

_PACKAGE = Path(str(files("mixdq.configs")))
_DEFAULT = "default"


@dataclass(frozen=True, slots=True, config=STRICT)
class Preset:
    """Defaults of one model.

    Attributes:
        resolutions: pixels; empty for the resolution that the UNet was configured for.
        protect: layers whose activation stays in floating point.
        prompts: file name of the calibration prompts, one a line, in the package's `prompts` folder.
        weights: the hub id of the published weights, for a model whose configurations alone are shipped.
        calibration_resolutions: pixels to calibrate at; empty for those that are compiled.
    """

    resolutions: tuple[int, ...]
    protect: tuple[LayerName, ...]
    prompts: str
    weights: str | None = None
    calibration_resolutions: tuple[int, ...] = ()

    @property
    def prompts_file(self) -> Path:
        """The calibration prompts."""
        return _PACKAGE / "prompts" / self.prompts


def model_name(model: str) -> str:
    """The name of a model: its folder's, also of `.` or `..`, or the part of a hub id behind the slash."""
    return Path(os.path.abspath(model)).name  # noqa: PTH100 - resolve() would give what a link points to


def preset_for(model: str) -> Preset:
    """The preset of a model's name, hub id or folder; the default preset for any other model."""
    presets = {path.stem: path for path in (_PACKAGE / "presets").glob("*.yaml")}
    return read_yaml(Preset, presets.get(model_name(model), presets[_DEFAULT]), ModelError)


def shipped_model(name: str) -> Path | None:
    """The folder of a model that ships with the package, or None; only the plain name means it, no path."""
    folders = {path.parent.name: path.parent for path in (_PACKAGE / "models").glob("*/model_index.json")}
    return folders.get(name)
