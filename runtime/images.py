"""The VAE decoder's output as pictures."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from mixdq.configs.bundle import EngineRecord
from mixdq.runtime.noise import Floats

Pixels: TypeAlias = npt.NDArray[np.uint8]

IMAGES, FINITE = "images", "finite"
_ROWS = 64  # of 1,024 pixels: what is computed of them in turn stays in a processor's cache


def gives_pixels(record: EngineRecord) -> bool:
    """Whether an engine gives `images` as pictures of 8 bits.

    Such a one says in `finite` of each whether all values were finite numbers, which 8 bits don't show.
    """
    return any(spec.name == IMAGES and spec.dtype == "uint8" for spec in record.outputs)


def to_images(decoded: Floats | Pixels) -> list[Image.Image]:
    """RGB pictures of what a decoder gives, of either kind; see `to_pixels`."""
    return [Image.fromarray(picture) for picture in to_pixels(decoded)]


def to_pixels(decoded: Floats | Pixels) -> Pixels:
    """Pictures of 8 bits, `[n, height, width, 3]`.

    Args:
        decoded: such pictures, or FP32 `[n, 3, height, width]` in [-1, 1]; values beyond are clipped.
    """
    if decoded.dtype == np.uint8:
        return decoded.astype(np.uint8, copy=False)
    count, channels, height, width = decoded.shape
    pictures = np.empty((count, height, width, channels), np.uint8)
    for start in range(0, height, _ROWS):
        rows = slice(start, start + _ROWS)
        values = decoded[:, :, rows] / 2
        values += 0.5
        np.clip(values, 0, 1, out=values)
        values *= 255
        np.rint(values, out=values)
        for channel in range(channels):
            pictures[:, rows, :, channel] = values[:, channel]
    return pictures
