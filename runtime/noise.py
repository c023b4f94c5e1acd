"""The noise of each image, from its seed alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class NoiseSource:
    """Unit noise for a batch: every image draws from its own generator, in the order of its steps.

    An image therefore is the same alone, in any batch, and on any machine: Philox is a counter-based
    generator, whose stream NumPy guarantees by its algorithm (Salmon et al., SC 2011).
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        """Starts one generator a seed."""
        self._generators = [np.random.Generator(np.random.Philox(seed)) for seed in seeds]

    def draw(self, shape: tuple[int, int, int]) -> Floats:
        """The next noise of every image: `[images, channels, height, width]`."""
        draws = np.empty((len(self._generators), *shape), np.float32)
        for generator, draw in zip(self._generators, draws, strict=True):
            generator.standard_normal(dtype=np.float32, out=draw)
        return draws
