"""The signal-to-quantization-noise ratio: how far one array is from another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

IDENTICAL_DB = 200.0
"""What `sqnr_db` gives for equal arrays, whose true value is infinite."""


def sqnr_db(output: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """10 log10(sum of squares of the expected over sum of squares of the error) (paper, section 3.2)."""
    wanted = expected.astype(np.float64)
    error = np.sum((output.astype(np.float64) - wanted) ** 2)
    return IDENTICAL_DB if error == 0 else float(10 * np.log10(np.sum(wanted**2) / error))
