"""The alignment score of emoji-turbo's pictures: how well each shows its prompt, without any download."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from mixdq.configs.errors import EvaluationError
from mixdq.eval.alignment.inputs import CaptionTokens, image_input
from mixdq.eval.alignment.network import DualEncoder, Shape
from mixdq.eval.alignment.shipped import read_model
from mixdq.eval.image_set import ImageSet
from mixdq.eval.scorer import Scores, TextImageScorer

MODEL = "emoji-turbo"
"""Name of the one model whose pictures this score is for."""


def open_alignment(device: str = "cpu", batch: int = 64) -> TextImageScorer:
    """The scorer "emoji alignment", from the weights that ship with the package.

    Scores are cosines in [-1, 1]. They mean something for emoji-turbo's pictures alone: check each set with
    `require_emoji` first.

    Args:
        device: `cpu` or `cuda`.
        batch: pictures at once; scores don't depend on it beyond rounding.

    Raises:
        EvaluationError: the weights are missing or damaged, or the batch or device is impossible.
    """
    return open_scorer(device, batch)


def open_scorer(device: str, batch: int) -> AlignmentScorer:
    """As `open_alignment`, which gives less of the type away: this one also gives the directions.

    Raises:
        EvaluationError: the weights are missing or damaged, or the batch or device is impossible.
    """
    if batch < 1:
        raise EvaluationError(f"expected a batch of 1 or more pictures, found {batch}")
    if device == "cuda" and not torch.cuda.is_available():
        raise EvaluationError("expected a CUDA device, found none; use the device `cpu`")
    model, config = read_model()
    return AlignmentScorer(model.to(device), config.shape, config.weights_sha256, batch)


def require_emoji(pictures: ImageSet) -> None:
    """Refuses a set that another model drew.

    Raises:
        EvaluationError: the manifest names another model.
    """
    if pictures.painter.model.name != MODEL:
        raise EvaluationError(
            f"the emoji alignment score is trained for {MODEL}'s pictures, and these are of "
            f"{pictures.painter.model.name}; use CLIP score or ImageReward for them"
        )


class AlignmentScorer:
    """Cosines between the directions of pictures and prompts."""

    def __init__(self, model: DualEncoder, shape: Shape, weights_sha256: str, batch: int) -> None:
        """Takes a model that is ready on its device."""
        self._model, self._shape, self._batch = model, shape, batch
        self._sha256 = weights_sha256
        self._tokens = CaptionTokens(shape.tokens)

    @property
    def name(self) -> str:
        """The metric's name in tables."""
        return "emoji alignment"

    @property
    def weights_sha256(self) -> str:
        """Digest of the weights that give the scores."""
        return self._sha256

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> Scores:
        """The cosines of pairs, one a picture.

        Raises:
            EvaluationError: not as many prompts as pictures, or a picture that is not square.
        """
        if len(images) != len(prompts):
            raise EvaluationError(
                f"expected one prompt a picture, found {len(images)} pictures and {len(prompts)} prompts; "
                "take both from the pictures' manifest"
            )
        return np.asarray((self.embed_images(images) * self.embed_prompts(prompts)).sum(dim=1).numpy())

    def embed_images(self, images: Sequence[Image]) -> Tensor:
        """Unit vectors `[image, embedding]` in FP64, on the CPU.

        Raises:
            EvaluationError: a picture that is not square.
        """
        for place, image in enumerate(images):
            if image.width != image.height:
                raise EvaluationError(
                    f"expected square pictures, as {MODEL} draws them, found picture {place} of "
                    f"{image.width} x {image.height} pixels"
                )
        return self._embed(
            [
                self._image_part(images[start : start + self._batch])
                for start in range(0, len(images), self._batch)
            ]
        )

    def embed_prompts(self, prompts: Sequence[str]) -> Tensor:
        """Unit vectors `[prompt, embedding]` in FP64, on the CPU."""
        return self._embed(
            [
                self._text_part(prompts[start : start + self._batch])
                for start in range(0, len(prompts), self._batch)
            ]
        )

    def _embed(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat([torch.zeros(0, self._shape.embedding, dtype=torch.float64), *parts])

    def _image_part(self, images: Sequence[Image]) -> Tensor:
        pixels = image_input(images, self._shape.pixels).to(self._device)
        # TF32, which cuDNN takes by itself, would leave three digits.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            vectors: Tensor = self._model.image(pixels)
        return vectors.double().cpu()

    def _text_part(self, prompts: Sequence[str]) -> Tensor:
        ids, present = (part.to(self._device) for part in self._tokens(prompts))
        with torch.inference_mode():
            vectors: Tensor = self._model.text(ids, present)
        return vectors.double().cpu()

    @property
    def _device(self) -> torch.device:
        return self._model.log_scale.device
