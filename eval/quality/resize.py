"""Pictures at the size that a feature network reads, without aliasing and without rounding."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.float32]
"""`[3, height, width]`, 0 to 255."""


def clean_resize(picture: Image.Image, side: int) -> Pixels:
    """A picture of `side` pixels each way, as clean-fid resizes (Parmar et al. 2022, its release 0.1.35).

    Pillow's bicubic filter, which widens when it shrinks, on each channel in floating point. What overshoots
    0 and 255 is clipped; nothing is rounded to integers.
    """
    channels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    resized = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(channels[:, :, channel])).resize(
                (side, side), Image.Resampling.BICUBIC
            )
        )
        for channel in range(3)
    ]
    return np.stack(resized).clip(0, 255)


def unresized(picture: Image.Image) -> Pixels:
    """A picture as it is: for networks that resize by themselves."""
    return np.asarray(picture.convert("RGB"), dtype=np.float32).transpose(2, 0, 1)
