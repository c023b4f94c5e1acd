"""Weights with LoRAs fused in: what is compiled is one plain model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mixdq.configs.errors import ModelError
from mixdq.export.weights.files import digest_of_files
from mixdq.export.weights.lora_file import Update, in_fp32, read_lora
from mixdq.export.weights.reader import HeldTensor, WeightReader, WeightSource
from mixdq.export.weights.tensor_file import all_finite


@dataclass(frozen=True, slots=True)
class FusedWeights:
    """A UNet's weights plus those of LoRAs: `weight + sum of scale * alpha / rank * up @ down`.

    Attributes:
        base: the UNet's own weights.
        loras: files and the scale of each.
        config: the UNet's configuration.
    """

    base: WeightSource
    loras: tuple[tuple[Path, float], ...]
    config: Mapping[str, Any]

    def open(self) -> WeightReader:
        """Opens the base, and checks that each LoRA fits the UNet; reads no weights.

        Raises:
            ModelError: a file is missing or damaged, or does not fit.
        """
        shapes = _unet_shapes(self.config)
        updates = [(read_lora(path, self.config, shapes), scale) for path, scale in self.loras]
        by_name: dict[str, list[tuple[Update, float]]] = {}
        for layers, scale in updates:
            for name, update in layers.items():
                by_name.setdefault(name, []).append((update, scale))
        return _FusedReader(self.base.open(), by_name)

    def digest(self) -> str:
        """SHA-256 over the base's digest, the LoRAs' bytes and their scales."""
        parts = [f"{digest_of_files((path,))} {scale!r}" for path, scale in self.loras]
        return hashlib.sha256("\n".join(["fused", self.base.digest(), *parts]).encode()).hexdigest()


def parse_lora(text: str) -> tuple[Path, float]:
    """Reads `FILE` or `FILE:SCALE`; without a scale it is 1.

    Raises:
        ModelError: there is no such file, or the scale is no finite number.
    """
    if (path := Path(text)).is_file():
        return path.resolve(), 1.0
    name, colon, number = text.rpartition(":")
    if not colon or not (path := Path(name)).is_file():
        raise ModelError(f"there is no LoRA {text!r}: expected a safetensors file, as FILE or FILE:SCALE")
    try:
        scale = float(number)
    except ValueError:
        scale = math.nan
    if not math.isfinite(scale):
        raise ModelError(f"the scale {number!r} of the LoRA {name} is no finite number; give FILE:0.8, say")
    return path.resolve(), scale


class _FusedReader:
    def __init__(self, base: WeightReader, updates: Mapping[str, list[tuple[Update, float]]]) -> None:
        self._base = base
        self._updates = updates
        self.where = base.where

    def tensors(self) -> Mapping[str, HeldTensor] | None:
        """The base's."""
        return self._base.tensors()

    def read(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """The base's tensor, or in FP16 the sum that is taken in FP32; see `WeightReader`."""
        stored = self._base.read(name, shape)
        if not (updates := self._updates.get(name)):
            return stored
        total = in_fp32(stored)
        for update, scale in updates:
            update.add_to(total, scale)
        fused: npt.NDArray[Any] = total.half().numpy()
        if not all_finite(fused):
            files = ", ".join(str(update.file.path) for update, _ in updates)
            raise ModelError(f"{name} with {files} fused exceeds what FP16 holds; give a smaller scale")
        return fused


def _unet_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    import torch
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(dict(config))
    return {name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()}
