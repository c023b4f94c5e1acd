"""Pictures and captions as the dual encoder takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mixdq.configs.presets import shipped_model


def image_input(images: Sequence[Image.Image], pixels: int) -> Tensor:
    """`[image, 3, pixels, pixels]` in [-1, 1]; Pillow's bilinear filter, which averages where it shrinks."""
    side = (pixels, pixels)
    small = [image.convert("RGB").resize(side, Image.Resampling.BILINEAR) for image in images]
    bytes_ = torch.from_numpy(np.stack([np.asarray(image) for image in small]))
    return bytes_.permute(0, 3, 1, 2).float() / 127.5 - 1.0


class CaptionTokens:
    """emoji-turbo's own tokenizer: its first one, which pads with EOS."""

    def __init__(self, tokens: int) -> None:
        """Reads the shipped tokenizer; captions are cut to `tokens` ids, BOS and EOS included."""
        # transformers takes seconds to import.
        from transformers import CLIPTokenizer

        folder = shipped_model("emoji-turbo")
        assert folder is not None
        self._tokenizer: Any = CLIPTokenizer.from_pretrained(Path(folder) / "tokenizer")
        self._tokens = tokens

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids `[caption, tokens]` (INT64), and true where they count; padded to the full length."""
        done = self._tokenizer(list(captions), padding="max_length", max_length=self._tokens, truncation=True)
        return torch.tensor(done.input_ids), torch.tensor(done.attention_mask).bool()
