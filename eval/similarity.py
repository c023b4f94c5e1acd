"""How alike two pictures are."""

from __future__ import annotations

import math

import numpy as np
from PIL.Image import Image
from skimage.metrics import structural_similarity

from mixdq.configs.errors import RequestError

IDENTICAL_DB = 120.0
"""What `psnr_db` gives for two equal pictures, whose true value is infinite; no unequal pair of up to 2,000
pixels a side reaches it."""


def psnr_db(picture: Image, reference: Image) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, in decibels; the peak is 255.

    Raises:
        RequestError: pictures of different sizes.
    """
    ours, theirs = _pixels(picture, reference)
    error = float(np.mean((ours - theirs) ** 2))
    return IDENTICAL_DB if error == 0 else 10 * math.log10(255**2 / error)


def ssim(picture: Image, reference: Image) -> float:
    """Structural similarity (Wang et al. 2004, a window of 7 pixels), mean over the channels; 1 is equal.

    Raises:
        RequestError: pictures of different sizes.
    """
    ours, theirs = _pixels(picture, reference)
    value = structural_similarity(ours, theirs, channel_axis=2, data_range=255)  # type: ignore[no-untyped-call]
    return float(value)


def _pixels(picture: Image, reference: Image) -> tuple[np.ndarray, np.ndarray]:
    if picture.size != reference.size:
        raise RequestError(
            f"pictures of {picture.size} and {reference.size} pixels can't be compared; make both at one "
            "resolution"
        )
    ours, theirs = (np.asarray(image.convert("RGB"), dtype=np.float64) for image in (picture, reference))
    return ours, theirs
