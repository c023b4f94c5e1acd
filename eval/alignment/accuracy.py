"""How well the dual encoder tells emoji apart: retrieval in both directions, and matched from mismatched."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT

Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, config=STRICT)
class Accuracy:
    """Figures over `count` pairs of a picture and its label; a pair's place is among all others of the set.

    Attributes:
        count: pairs.
        chance_at_1: what guessing reaches: 1 / count; at 5 five times as much.
        image_to_text_at_1: share of pictures whose own label is the most similar.
        image_to_text_at_5: likewise, among the five most similar.
        text_to_image_at_1: share of labels whose own picture is the most similar.
        text_to_image_at_5: likewise, among the five most similar.
        auc: probability that a pair scores higher than a picture with another's label; 0.5 is chance.
        matched_mean: mean cosine of the pairs.
        mismatched_mean: mean cosine of all other combinations.
    """

    count: int
    chance_at_1: float
    image_to_text_at_1: float
    image_to_text_at_5: float
    text_to_image_at_1: float
    text_to_image_at_5: float
    auc: float
    matched_mean: float
    mismatched_mean: float


def accuracy(images: Vectors, texts: Vectors) -> Accuracy:
    """Figures of two or more pairs of unit vectors `[pair, embedding]`; a tie counts against the pair."""
    scores = images @ texts.T
    count = len(scores)
    matched = scores.diagonal()
    others = scores[~np.eye(count, dtype=bool)]
    below = np.searchsorted(np.sort(others), matched, side="left")
    upto = np.searchsorted(np.sort(others), matched, side="right")
    of_image = (scores >= matched[:, None]).sum(axis=1)
    of_text = (scores >= matched[None, :]).sum(axis=0)
    return Accuracy(
        count=count,
        chance_at_1=1 / count,
        image_to_text_at_1=float((of_image <= 1).mean()),
        image_to_text_at_5=float((of_image <= 5).mean()),
        text_to_image_at_1=float((of_text <= 1).mean()),
        text_to_image_at_5=float((of_text <= 5).mean()),
        auc=float((below + upto).mean() / 2 / len(others)),
        matched_mean=float(matched.mean()),
        mismatched_mean=float(others.mean()),
    )
