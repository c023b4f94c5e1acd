"""CLIP score: the cosine of the embeddings of a picture and its prompt (Hessel et al. 2021, unscaled)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL.Image import Image

from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorer import Scores
from mixdq.eval.scorers.clip_file import open_clip_model
from mixdq.eval.scorers.clip_tokens import ClipTokens
from mixdq.eval.scorers.computing import check_device, check_pairs, computing, slices
from mixdq.eval.scorers.pixels import Preparation

Embeddings = npt.NDArray[np.float64]
"""[N, D], each of length 1."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipScorer:
    """Cosines in [-1, 1]; 0.26 to 0.32 is usual for matching pairs of ViT-L/14.

    Checked against open_clip 3.3.0 with the same random weights: cosines differ by at most 2e-7 (narrow
    ViT-B/32, B/16, L/14 and L/14@336, both activations; 4e-8 for ViT-L/14 at its full size), the numbers of
    102 prompts not at all. Pixels are equal to those of torchvision 0.29.2, bit for bit.
    """

    name: str
    weights_sha256: str
    device: str
    batch: int
    _model: Any
    _tokens: ClipTokens
    _preparation: Preparation

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> Scores:
        """The cosine of each picture and its prompt.

        Raises:
            EvaluationError: the numbers differ, or the weights give numbers that are not finite.
            MachineError: memory ran out.
        """
        check_pairs(len(images), len(prompts))
        cosines: Scores = (self.embed_images(images) * self.embed_prompts(prompts)).sum(axis=1)
        return cosines

    def embed_images(self, images: Sequence[Image]) -> Embeddings:
        """The pictures' directions, for scores between all pairs."""

        def embed(part: slice) -> torch.Tensor:
            pixels = self._preparation.tensor(images[part]).to(self.device)
            pooled = self._model.vision_model(pixel_values=pixels).pooler_output
            found: torch.Tensor = self._model.visual_projection(pooled)
            return found

        return self._directions(len(images), embed)

    def embed_prompts(self, prompts: Sequence[str]) -> Embeddings:
        """The prompts' directions."""

        def embed(part: slice) -> torch.Tensor:
            ids = self._tokens(prompts[part]).to(self.device)
            pooled = self._model.text_model(input_ids=ids).pooler_output
            found: torch.Tensor = self._model.text_projection(pooled)
            return found

        return self._directions(len(prompts), embed)

    def _directions(self, count: int, embed: Callable[[slice], torch.Tensor]) -> Embeddings:
        with computing(self.device, self.batch):
            rows = [embed(part).double().cpu().numpy() for part in slices(count, self.batch)]
        found: Embeddings = np.concatenate(rows)
        if not np.isfinite(found).all():
            raise EvaluationError(
                f"{self.name} gives embeddings that are not finite; its weights are damaged: download them "
                "again"
            )
        directions: Embeddings = found / np.linalg.norm(found, axis=1, keepdims=True)
        return directions


def open_clip_scorer(path: Path, device: str, batch: int, quick_gelu: bool | None = None) -> ClipScorer:
    """Opens a CLIP.

    Args:
        path: a transformers folder (openai/clip-vit-large-patch14: `config.json`, `preprocessor_config.json`,
            `model.safetensors`), or a state dict of open_clip or OpenAI (`.safetensors`, `.bin`, `.pt`) with
            `open_clip_config.json` beside it, or OpenAI's own archive (`ViT-L-14.pt`).
        device: torch's name of it.
        batch: pictures, or prompts, at a time.
        quick_gelu: the activation of a state dict that has no configuration beside it.

    Raises:
        EvaluationError: the weights are missing, damaged, of another kind, or nothing says their activation.
        MachineError: there is no such device.
    """
    check_device(device, batch)
    clip = open_clip_model(path, quick_gelu)
    return ClipScorer(
        clip.name, clip.sha256, device, batch, clip.model.to(device), clip.tokens, clip.preparation
    )
