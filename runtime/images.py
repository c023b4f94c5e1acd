"""The VAE decoder's output as pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image

from mixdq.runtime.noise import Floats


def to_images(decoded: Floats) -> list[Image.Image]:
    """RGB pictures from `[n, 3, height, width]` in [-1, 1]; values beyond are clipped."""
    levels = np.rint((decoded / 2 + 0.5).clip(0, 1) * 255).astype(np.uint8)
    return [Image.fromarray(picture) for picture in levels.transpose(0, 2, 3, 1)]
