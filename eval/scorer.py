"""What scores pictures against their prompts: CLIP, ImageReward, the shipped dual encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

Scores = npt.NDArray[np.float64]
"""One a picture."""


class TextImageScorer(Protocol):
    """A model that says how well a picture shows its prompt; higher is better."""

    @property
    def name(self) -> str:
        """The metric's name in tables: `CLIP ViT-L/14`."""
        ...

    @property
    def weights_sha256(self) -> str:
        """Digest of the weights that give the scores."""
        ...

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> Scores:
        """The scores of pairs, one a picture; the same whatever else is in the batch, up to rounding."""
        ...
