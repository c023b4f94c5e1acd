"""How alike two pictures are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL.Image import Image
from skimage.metrics import structural_similarity

from mixdq.configs import sqnr
from mixdq.configs.errors import RequestError

SSIM_WINDOW = 7
"""Pixels of each side of the window of `ssim`; a picture must be at least as large."""

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""Wang et al.'s constants for pixels of 0 to 255."""

_Pixels = npt.NDArray[np.float64]


def psnr_db(picture: Image, reference: Image) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, in decibels; the peak is 255.

    Raises:
        RequestError: pictures of different sizes.
    """
    return sqnr.psnr_db(*_pixels(picture, reference), peak=255)


def ssim(picture: Image, reference: Image) -> float:
    """Structural similarity (Wang et al. 2004, a window of 7 pixels), mean over the channels; 1 is equal.

    Raises:
        RequestError: pictures of different sizes, or smaller than the window.
    """
    ours, theirs = _pixels(picture, reference)
    if min(picture.size) < SSIM_WINDOW:
        raise RequestError(
            f"SSIM compares windows of {SSIM_WINDOW} pixels, and the pictures have {picture.size}; "
            "draw larger ones"
        )
    value = structural_similarity(  # type: ignore[no-untyped-call]
        ours, theirs, channel_axis=2, data_range=255, win_size=SSIM_WINDOW
    )
    return float(value)


def whole_ssim(picture: Image, reference: Image) -> float:
    """Structural similarity with one window, the whole picture, mean over the channels; 1 is equal.

    MixDQ's equation 1 with alpha = beta = gamma = 1, which is Wang et al.'s:
    (2 mx my + C1) (2 sxy + C2) / ((mx^2 + my^2 + C1) (sx^2 + sy^2 + C2)), with the unbiased (co)variances.

    Raises:
        RequestError: pictures of different sizes, or of one pixel.
    """
    ours, theirs = (pixels.reshape(-1, pixels.shape[2]) for pixels in _pixels(picture, reference))
    if len(ours) < 2:
        raise RequestError("SSIM needs a variance, and the pictures have one pixel; draw larger ones")
    (mx, dx), (my, dy) = ((pixels.mean(0), pixels - pixels.mean(0)) for pixels in (ours, theirs))
    (vx, vy, vxy) = ((a * b).sum(0) / (len(ours) - 1) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    values = (2 * mx * my + _C1) * (2 * vxy + _C2) / ((mx**2 + my**2 + _C1) * (vx + vy + _C2))
    return float(values.mean())


def pixel_sqnr_db(picture: Image, reference: Image) -> float:
    """Signal-to-quantization-noise ratio of the pixels, in decibels; the signal is the reference.

    Pixels count from -1 to 1, as the decoder gives them: from 0 to 255 a picture's brightness would be most
    of the signal. Equal pictures give `configs.sqnr.IDENTICAL_DB`.

    Raises:
        RequestError: pictures of different sizes.
    """
    ours, theirs = _pixels(picture, reference)
    return sqnr.sqnr_db(ours / 127.5 - 1, theirs / 127.5 - 1)


def _pixels(picture: Image, reference: Image) -> tuple[_Pixels, _Pixels]:
    if picture.size != reference.size:
        raise RequestError(
            f"pictures of {picture.size} and {reference.size} pixels can't be compared; make both at one "
            "resolution"
        )
    ours, theirs = (np.asarray(image.convert("RGB"), dtype=np.float64) for image in (picture, reference))
    return ours, theirs
