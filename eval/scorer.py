"""What scores pictures against their prompts: CLIP, ImageReward, the shipped dual encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

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


@runtime_checkable
class EmbeddingScorer(TextImageScorer, Protocol):
    """One whose scores are products of two vectors: a picture is embedded once for any number of prompts.

    `score(images, prompts)` is the row by row product of `embed_images(images)` and `embed_prompts(prompts)`,
    both `[count, width]` in FP64, as NumPy arrays or torch tensors on the CPU.
    """

    def embed_images(self, images: Sequence[Image]) -> Any:
        """The pictures' vectors."""
        ...

    def embed_prompts(self, prompts: Sequence[str]) -> Any:
        """The prompts' vectors."""
        ...
