"""What a picture may be called in training: its label, and looser wordings of it."""

from __future__ import annotations

import numpy as np

from mixdq.export.emoji_turbo.data import Emoji

_TEMPLATES = (
    "a {}",
    "the {}",
    "a picture of {}",
    "an emoji of {}",
    "a photo of a {}",
    "{} emoji",
    "{} on white",
)


def captions_of(emoji: Emoji, variants: int, seed: int) -> tuple[str, ...]:
    """The label first, then `variants` looser captions, the same for the same seed."""
    random = np.random.default_rng([seed, *emoji.label.encode()])
    return emoji.label, *(_loosen(emoji, random) for _ in range(variants))


def _loosen(emoji: Emoji, random: np.random.Generator) -> str:
    text = emoji.label
    # Tags such as "sleepy" before the label's last word teach prompts that no label has.
    kind = int(random.integers(4))
    if kind == 1 and emoji.tags:
        text = f"{random.choice(emoji.tags)} {text.split()[-1]}"
    elif kind == 2 and emoji.tags:
        text = f"{random.choice(emoji.tags)} {text}"
    elif kind == 3:
        text = _drop_word(text, random)
    if kind == 0 or random.random() < 0.4:
        text = str(random.choice(_TEMPLATES)).format(text)
    return text


def _drop_word(text: str, random: np.random.Generator) -> str:
    words = text.split()
    if len(words) < 3:
        return text
    del words[int(random.integers(len(words)))]
    return " ".join(words)
