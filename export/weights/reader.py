"""What a source of weights is to its users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt


class WeightReader(Protocol):
    """One component's tensors by their state-dict names, read when they are asked for and not kept."""

    def shapes(self) -> Mapping[str, tuple[int, ...]] | None:
        """Every tensor's shape; None for a source that makes whatever is asked for."""

    def read(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """One tensor as it is stored: FP16, FP32, or BF16 of `ml_dtypes`; a view of the file where possible.

        Raises:
            ModelError: there is no such tensor, it has another shape, or holds NaN or infinity.
        """


class WeightSource(Protocol):
    """Says where one component's weights are; small, immutable, and can be pickled to a child process."""

    def open(self) -> WeightReader:
        """Opens the files; reads none of the tensors.

        Raises:
            ModelError: a file is missing or damaged.
        """

    def digest(self) -> str:
        """SHA-256 over everything that the tensors depend on.

        Raises:
            ModelError: a file can't be read.
        """
