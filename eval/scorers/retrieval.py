"""RI@1: how often a prompt finds its own picture among all of a set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL.Image import Image

from mixdq.eval.scorer import Scores
from mixdq.eval.scorers.clip import ClipScorer, Embeddings
from mixdq.eval.scorers.computing import check_pairs


def recall_at_1(scorer: ClipScorer, images: Sequence[Image], prompts: Sequence[str]) -> Scores:
    """1 for each prompt whose best picture, of all N, was drawn from it, 0 for the others.

    The mean depends on N, since more pictures are more rivals: compare sets of equal N alone. A picture of
    the same prompt with another seed counts as its own.

    Raises:
        EvaluationError: pictures and prompts differ in number.
        MachineError: memory ran out.
    """
    check_pairs(len(images), len(prompts))
    return hits(scorer.embed_images(images), scorer.embed_prompts(prompts), prompts)


def hits(images: Embeddings, texts: Embeddings, prompts: Sequence[str]) -> Scores:
    """The same from embeddings [N, D]; of pictures that are equally near, the first counts."""
    nearest = (texts @ images.T).argmax(axis=1)
    return np.array([float(prompts[best] == prompt) for prompt, best in zip(prompts, nearest, strict=True)])
