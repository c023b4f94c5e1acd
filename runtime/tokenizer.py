"""Prompts to token ids, exactly as the model's own tokenizer makes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from mixdq.configs.errors import BundleError, RequestError


class PromptTokenizer:
    """CLIP's byte-pair encoding with a fixed length: BOS, the prompt, EOS, padding."""

    def __init__(self, path: Path, *, max_tokens: int, pad_token_id: int) -> None:
        """Reads a `tokenizer.json`.

        Args:
            path: the file.
            max_tokens: length of every result; longer prompts are cut before their EOS.
            pad_token_id: what shorter prompts are filled up with.

        Raises:
            BundleError: the file is no tokenizer of the `tokenizers` library.
        """
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            raise BundleError(
                f"{path} is no tokenizer that the tokenizers library reads ({error}); "
                "upgrade that library, or build the bundle again"
            ) from error
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.enable_padding(length=max_tokens, pad_id=pad_token_id)

    def __call__(self, prompts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Token ids of prompts.

        Returns:
            INT64, `[prompts, max_tokens]`.

        Raises:
            RequestError: a prompt that is no valid Unicode text.
        """
        return np.asarray([self._encode(prompt) for prompt in prompts], dtype=np.int64)

    def _encode(self, prompt: str) -> list[int]:
        try:
            prompt.encode()
        except UnicodeEncodeError as error:
            raise RequestError(
                f"the prompt {prompt!r} holds half a surrogate pair at position {error.start}, which is no "
                "Unicode character; decode the text properly before you pass it"
            ) from error
        return list(self._tokenizer.encode(prompt).ids)
