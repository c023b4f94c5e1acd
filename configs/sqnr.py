"""How far one array is from another, as ratios of signal to noise in decibels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

IDENTICAL_DB = 200.0
"""What `sqnr_db` gives for equal arrays, whose true value is infinite."""


IDENTICAL_PSNR_DB = 120.0
"""What `psnr_db` gives for equal arrays; no unequal pair of pictures of up to 2,000 pixels a side and 256
levels reaches it."""


def sqnr_db(output: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """10 log10(sum of squares of the expected over sum of squares of the error) (paper, section 3.2)."""
    wanted = expected.astype(np.float64)
    error = np.sum((output.astype(np.float64) - wanted) ** 2)
    return IDENTICAL_DB if error == 0 else float(10 * np.log10(np.sum(wanted**2) / error))


def psnr_db(output: npt.NDArray[Any], expected: npt.NDArray[Any], *, peak: float) -> float:
    """Peak signal-to-noise ratio over all values, in decibels; `peak` is the largest possible value."""
    error = float(np.mean((output.astype(np.float64) - expected.astype(np.float64)) ** 2))
    return IDENTICAL_PSNR_DB if error == 0 else float(10 * np.log10(peak**2 / error))
