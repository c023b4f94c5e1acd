"""Every caption that training uses, as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from mixdq.export.emoji_turbo.captions import captions_of
from mixdq.export.emoji_turbo.data import Emoji
from mixdq.export.emoji_turbo.tokenizer import EOS, LENGTH, train_tokenizer, write_tokenizer

VARIANTS = 24
"""Looser captions of each emoji beside its label."""
_LABEL_WEIGHT = 8


class Prompts:
    """The tokenizer and the token ids `[emoji, 1 + VARIANTS, 77]` for both encoders; place 0 is the label."""

    def __init__(self, emoji: Sequence[Emoji], vocabulary: int, seed: int) -> None:
        """Learns the tokenizer on the captions themselves, labels weighing most."""
        texts = [captions_of(one, VARIANTS, seed) for one in emoji]
        heavy = [text for captions in texts for text in (*captions, *captions[:1] * _LABEL_WEIGHT)]
        self.vocab, self.merges = train_tokenizer(heavy, vocabulary)
        self.ids = self._encode(texts, EOS)
        self.ids_2 = self._encode(texts, "!")

    def _encode(self, texts: Sequence[Sequence[str]], pad: str) -> Tensor:
        with TemporaryDirectory() as folder:
            write_tokenizer(Path(folder), self.vocab, self.merges, pad)
            tokenizer = CLIPTokenizer.from_pretrained(folder)
        flat = [text for captions in texts for text in captions]
        ids = tokenizer(flat, padding="max_length", max_length=LENGTH, truncation=True).input_ids
        return torch.tensor(ids).view(len(texts), -1, LENGTH)
