"""A model's tokenizers on disk: which files make one, and its special tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mixdq.configs.errors import ModelError
from mixdq.export.model_files import read_config, require

TOKENIZERS = ("tokenizer", "tokenizer_2")
"""The folders of SDXL's two."""

_CONFIG = "tokenizer_config.json"
_VOCABULARY, _MERGES, _WHOLE = "vocab.json", "merges.txt", "tokenizer.json"
_MORE = ("special_tokens_map.json", _WHOLE, "added_tokens.json")


def tokenizer_files(folder: Path, name: str) -> list[Path]:
    """All files that a tokenizer is read from: the needed ones first.

    A vocabulary and merges are in files of their own, as SDXL ships them, or in `tokenizer.json` alone, as
    transformers 5 saves them.

    Args:
        folder: the model's.
        name: one of `TOKENIZERS`.

    Raises:
        ModelError: one is missing.
    """
    parts = () if _is_whole(folder / name) else (_VOCABULARY, _MERGES)
    needed = [require(folder, f"{name}/{file}") for file in (*parts, _CONFIG)]
    return needed + [path for file in _MORE if (path := folder / name / file).is_file()]


def special_ids(folder: Path, name: str) -> dict[str, int]:
    """The numbers of a tokenizer's tokens `bos`, `eos` and `pad`.

    Raises:
        ModelError: a file is missing, or a token has no number.
    """
    config = read_config(folder, f"{name}/{_CONFIG}")
    file, numbers = _numbers(folder, name)

    def token_id(key: str) -> int:
        token = config.get(key)
        text = token.get("content") if isinstance(token, dict) else token
        number = numbers.get(text) if isinstance(text, str) else None
        if not isinstance(number, int):
            raise ModelError(
                f"{folder / name}: the {key} {text!r} of {_CONFIG} has no number in {file}; the tokenizer is "
                "damaged: download the model again"
            )
        return number

    return {short: token_id(f"{short}_token") for short in ("bos", "eos", "pad")}


def _is_whole(folder: Path) -> bool:
    return (folder / _WHOLE).is_file() and not (folder / _VOCABULARY).is_file()


def _numbers(folder: Path, name: str) -> tuple[str, Mapping[str, object]]:
    """The file that numbers the tokens, and what it says."""
    if not _is_whole(folder / name):
        return _VOCABULARY, read_config(folder, f"{name}/{_VOCABULARY}")
    whole = read_config(folder, f"{name}/{_WHOLE}")
    model = whole.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, dict):
        raise ModelError(
            f"{folder / name / _WHOLE} has no vocabulary in `model.vocab`, where CLIP's tokenizers have it; "
            "save the tokenizer again with `save_pretrained`"
        )
    added = {
        token.get("content"): token.get("id")
        for token in whole.get("added_tokens") or ()
        if isinstance(token, dict)
    }
    return _WHOLE, vocabulary | added
