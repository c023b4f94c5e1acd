"""Made-up weights: seeded, never repeating, and scaled so that the whole model stays finite in FP16."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from mixdq.export.weights.names import canonical
from mixdq.export.weights.reader import WeightReader
from mixdq.export.weights.roles import BOS_OUTLIER, OUTLIER_CHANNELS, holds_bos_row, reads_outlier, role_of

_RECIPE = "mixdq synthetic weights 1"
"""Changes with whatever changes a value."""

_LEVELS = 1 << 16
_CHUNK_VALUES = 1 << 18


@dataclass(frozen=True, slots=True)
class SyntheticWeights:
    """Weights for one component that depend on a seed and on names alone.

    Attributes:
        seed: of all tensors.
        component: the component's folder: `unet`, `vae`, `text_encoder` or `text_encoder_2`.
    """

    seed: int
    component: str

    def open(self) -> WeightReader:
        """Nothing to open."""
        return _SyntheticReader(self.seed, self.component)

    def digest(self) -> str:
        """SHA-256 of the recipe, the seed and the component."""
        return hashlib.sha256(f"{_RECIPE}/{self.seed}/{self.component}".encode()).hexdigest()


class _SyntheticReader:
    def __init__(self, seed: int, component: str) -> None:
        self._seed = seed
        self._component = component
        self.where = f"synthetic weights of seed {seed}"

    def tensors(self) -> None:
        """Whatever is asked for is made."""

    def read(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """FP16 values, near-normal, up to 4.2 standard deviations."""
        key = canonical(name)
        role = role_of(self._component, key, shape)
        text = f"{_RECIPE}/{self._seed}/{self._component}/{key}"
        bits = np.random.SFC64(np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint32).tolist())
        values = _normal(bits, shape, role.mean, role.std)
        if holds_bos_row(self._component, key):
            values[-2, _outliers(shape)] = BOS_OUTLIER
        elif reads_outlier(self._component, key):
            values[:, _outliers(shape)] /= np.float16(16)
        return values


def _outliers(shape: tuple[int, ...]) -> list[int]:
    return [channel for channel in OUTLIER_CHANNELS if channel < shape[1]]


def _normal(
    bits: np.random.SFC64, shape: tuple[int, ...], mean: float, std: float
) -> npt.NDArray[np.float16]:
    """Sixteen random bits choose one of 65,536 quantiles: many times faster than drawing and rounding."""
    table = (_quantiles() * np.float32(std) + np.float32(mean)).astype(np.float16)
    values = np.empty(shape, np.float16)
    flat = values.reshape(-1)
    for start in range(0, flat.size, _CHUNK_VALUES):
        part = flat[start : start + _CHUNK_VALUES]
        chosen = bits.random_raw(-(-part.size // 4)).view(np.uint16)[: part.size]
        np.take(table, chosen, out=part, mode="clip")
    return values


@cache
def _quantiles() -> npt.NDArray[np.float32]:
    normal = NormalDist()
    return np.array([normal.inv_cdf((level + 0.5) / _LEVELS) for level in range(_LEVELS)], np.float32)
