"""RI@1: how often a prompt finds its own picture among all of a set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixdq.eval.scorer import Scores
from mixdq.eval.scorers.clip import Embeddings


def hits(images: Embeddings, texts: Embeddings, prompts: Sequence[str]) -> Scores:
    """1 for each prompt whose nearest picture, of all N, was drawn from it, 0 for the others.

    The mean depends on N, since more pictures are more rivals: compare sets of equal N alone. A picture of
    the same prompt with another seed counts as its own; of pictures that are equally near, the first counts.

    Args:
        images: the pictures' embeddings [N, D].
        texts: the prompts' embeddings, in the same order.
        prompts: the prompts themselves.
    """
    nearest = (texts @ images.T).argmax(axis=1)
    return np.array([float(prompts[best] == prompt) for prompt, best in zip(prompts, nearest, strict=True)])
