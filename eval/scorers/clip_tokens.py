"""Prompts as CLIP reads them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from mixdq.configs.errors import EvaluationError

# ftfy, by which open_clip cleans prompts, makes quotation marks straight.
_QUOTES = str.maketrans({"‘": "'", "’": "'", "‚": "'", "‛": "'", "“": '"', "”": '"', "„": '"', "‟": '"'})


class ClipTokens:
    """Prompts to numbers [N, context].

    The ids are open_clip's: lower case, HTML's entities and curly quotes resolved, a long prompt cut so that
    it still ends with the end token. What follows the end token differs, and a causal encoder doesn't see it.
    """

    def __init__(self, folder: Path | None, vocabulary: int, context: int) -> None:
        """Opens a tokenizer.

        Args:
            folder: with `tokenizer.json`, or `vocab.json` and `merges.txt`; None for CLIP's own vocabulary,
                which ships here as SDXL-Turbo's first tokenizer.
            vocabulary: rows of the token embedding.
            context: tokens of a prompt.

        Raises:
            EvaluationError: the tokenizer is broken or has more entries than the embedding has rows.
        """
        from transformers import CLIPTokenizer

        place = folder or Path(str(files("mixdq.configs") / "models" / "sdxl-turbo" / "tokenizer"))
        try:
            self._tokenizer: Any = CLIPTokenizer.from_pretrained(place)
        # The tokenizers library raises bare exceptions on damaged files.
        except Exception as error:
            raise EvaluationError(f"{place} holds no CLIP tokenizer that can be read: {error}") from error
        if len(self._tokenizer) != vocabulary:
            raise EvaluationError(
                f"the tokenizer of {place} has {len(self._tokenizer)} entries, and the model {vocabulary}; "
                "they belong to different models"
            )
        self._context = context

    def __call__(self, prompts: Sequence[str]) -> torch.Tensor:
        """Token numbers, INT64 [N, context]."""
        clean = [html.unescape(html.unescape(prompt)).translate(_QUOTES) for prompt in prompts]
        found = self._tokenizer(
            clean, padding="max_length", max_length=self._context, truncation=True, return_tensors="pt"
        )
        ids: torch.Tensor = found["input_ids"]
        return ids
