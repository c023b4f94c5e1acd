"""What the command line says, as values."""

from __future__ import annotations

from pathlib import Path

from mixdq.configs.errors import EvaluationError, StorageError
from mixdq.configs.presets import preset_for
from mixdq.eval.images.prompts import read_prompts

_LISTED = "emoji-turbo"
"""The model whose prompts are taken if none are given; what a picture shows does not change its time."""


def parse_size(word: str) -> int | None:
    """Pixels; None for `auto`.

    Raises:
        EvaluationError: another word.
    """
    if word == "auto":
        return None
    if not word.isdecimal() or int(word) < 1:
        raise EvaluationError(f"a size is auto or a number of pixels, such as 512, not {word}")
    return int(word)


def prompts_from(path: Path | None) -> tuple[str, ...]:
    """The prompts of a file, or those that come with mixdq.

    Raises:
        EvaluationError: the file holds none.
        StorageError: it can't be read.
    """
    return read_prompts(preset_for(_LISTED).prompts_file if path is None else path)


def read_key(path: Path | None) -> str | None:
    """The key in a file's first line that is neither empty nor begins with #; None without a file.

    Raises:
        EvaluationError: the file holds none.
        StorageError: it can't be read.
    """
    if path is None:
        return None
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"the API key in {path} can't be read: {error}") from error
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise EvaluationError(f"{path} holds no API key; write it into its first line")
    return keys[0]
