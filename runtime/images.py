"""The VAE decoder's output as pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image

from mixdq.runtime.noise import Floats

_ROWS = 64  # of 1,024 pixels: what is computed of them in turn stays in a processor's cache


def to_images(decoded: Floats) -> list[Image.Image]:
    """RGB pictures from `[n, 3, height, width]` in [-1, 1]; values beyond are clipped."""
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
    return [Image.fromarray(picture) for picture in pictures]
