"""What an emoji may be called while the dual encoder learns: its label, looser wordings, its tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixdq.eval.alignment.inputs import CaptionTokens
from mixdq.export.emoji_turbo.captions import captions_of
from mixdq.export.emoji_turbo.data import Emoji

_LOOSE = 24
_TAGGED = 24
_TAGS_ALONE = 16
# Tags that many emoji share ("face") tell nothing apart.
_RARE = 8
_LABEL_SHARE, _LOOSE_SHARE, _TAGGED_SHARE = 0.35, 0.25, 0.25


@dataclass(frozen=True, slots=True)
class CaptionTable:
    """Every caption's token ids `[emoji, captions, tokens]`, where they count, and each place's chance."""

    ids: Tensor
    present: Tensor
    chances: tuple[float, ...]


def caption_table(emoji: Sequence[Emoji], tokens: CaptionTokens, seed: int) -> CaptionTable:
    """The captions that training draws from, the same for the same seed; place 0 is the label."""
    counts = Counter(tag for one in emoji for tag in one.tags)
    texts = [_captions(one, counts, seed) for one in emoji]
    ids, present = tokens([text for captions in texts for text in captions])
    count = len(texts[0])
    rest = 1 - _LABEL_SHARE - _LOOSE_SHARE - _TAGGED_SHARE
    chances = (
        _LABEL_SHARE,
        *(_LOOSE_SHARE / _LOOSE for _ in range(_LOOSE)),
        *(_TAGGED_SHARE / _TAGGED for _ in range(_TAGGED)),
        *(rest / _TAGS_ALONE for _ in range(_TAGS_ALONE)),
    )
    form = (len(texts), count, -1)
    return CaptionTable(ids.view(form), present.view(form), chances)


def likeness(emoji: Sequence[Emoji]) -> Tensor:
    """How much emoji share words of labels and tags: cosines `[emoji, emoji]`, 0 for each with itself.

    Words weigh by the logarithm of how rare they are (inverse document frequency).
    """
    words = [{*one.label.split(), *(word for tag in one.tags for word in tag.split())} for one in emoji]
    counts = Counter(word for some in words for word in some)
    places = {word: place for place, word in enumerate(sorted(counts))}
    vectors = np.zeros((len(emoji), len(places)), dtype=np.float32)
    for row, some in zip(vectors, words, strict=True):
        for word in some:
            row[places[word]] = np.log(len(emoji) / counts[word])
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, 0.0)
    return torch.from_numpy(alike)


def _captions(emoji: Emoji, counts: Counter[str], seed: int) -> list[str]:
    random = np.random.default_rng([seed, *emoji.label.encode(), 1])
    tagged = [_with_tags(emoji, random) for _ in range(_TAGGED)]
    alone = [_tags_alone(emoji, counts, random) for _ in range(_TAGS_ALONE)]
    return [*captions_of(emoji, _LOOSE, seed), *tagged, *alone]


def _with_tags(emoji: Emoji, random: np.random.Generator) -> str:
    """The label and up to three tags, in any order."""
    count = min(len(emoji.tags), int(random.integers(1, 4)))
    words = [emoji.label, *random.choice(emoji.tags, count, replace=False)] if count else [emoji.label]
    return (" " if random.random() < 0.5 else ", ").join(random.permutation(words))


def _tags_alone(emoji: Emoji, counts: Counter[str], random: np.random.Generator) -> str:
    """One rare tag, or two or three of any."""
    rare = [tag for tag in emoji.tags if counts[tag] <= _RARE]
    if rare and random.random() < 0.5:
        return str(random.choice(rare))
    if len(emoji.tags) < 2:
        return emoji.label
    count = min(len(emoji.tags), int(random.integers(2, 4)))
    return " ".join(random.choice(emoji.tags, count, replace=False))


def drop_tokens(ids: Tensor, present: Tensor, share: float, random: np.random.Generator) -> Tensor:
    """`present` without a random share of the tokens; BOS and EOS stay, so no caption becomes empty."""
    keep = torch.from_numpy(random.random(tuple(ids.shape)) >= share)
    last = present.sum(dim=1, keepdim=True) - 1
    place = torch.arange(ids.shape[1])[None]
    return present & (keep | (place == 0) | (place == last))
