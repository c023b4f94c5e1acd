"""What a source of weights is to its users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class HeldTensor:
    """What is known of a tensor before it is read.

    Attributes:
        shape: as the model has it.
        kind: the type's name in a file's header: `F16`, `BF16`, …
        stored: its name in the file.
    """

    shape: tuple[int, ...]
    kind: str
    stored: str


class WeightReader(Protocol):
    """One component's tensors by their state-dict names, read when they are asked for and not kept."""

    @property
    def where(self) -> str:
        """What it reads, for messages: a file, or a folder of several."""

    def tensors(self) -> Mapping[str, HeldTensor] | None:
        """Every tensor that there is; None for a source that makes whatever is asked for."""

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
