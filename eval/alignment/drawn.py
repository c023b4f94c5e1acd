"""Pictures that emoji-turbo draws of the emoji, which training sees beside the emoji's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mixdq.configs.errors import StorageError
from mixdq.configs.files import writing
from mixdq.configs.presets import shipped_model
from mixdq.export.emoji_turbo.data import Emoji, Pixels

_BATCH = 32


def drawn_pictures(
    emoji: Sequence[Emoji], resolutions: Sequence[int], side: int, device: str, seed: int, cache: Path
) -> Pixels:
    """One-step pictures of the labels in FP32, made small: `[resolution, emoji, side, side, 3]` bytes.

    Args:
        emoji: what to draw.
        resolutions: pixels of each side, of 128, 192 and 256, for which emoji-turbo is trained.
        side: pixels of each side of the result.
        device: `cpu` or `cuda`.
        seed: of the noise.
        cache: where they are kept, so that a training that goes on doesn't draw them again.

    Raises:
        StorageError: the cache can't be read or written.
    """
    if cache.is_file():
        return _read(cache, (len(resolutions), len(emoji), side, side, 3))
    # diffusers takes seconds to import.
    from mixdq.export.emoji_turbo.evaluate import generate, load_pipeline

    folder = shipped_model("emoji-turbo")
    assert folder is not None
    pipeline = load_pipeline(folder, device, torch.float32)
    labels = [one.label for one in emoji]
    drawn = np.stack(
        [
            np.stack(
                [
                    _shrunk(picture, side)
                    for some in generate(pipeline, labels, resolution, _BATCH, seed + resolution)
                    for picture in some
                ]
            )
            for resolution in resolutions
        ]
    )
    with writing(cache) as temporary, temporary.open("wb") as file:
        np.save(file, drawn)
    return drawn


def _read(cache: Path, form: tuple[int, ...]) -> Pixels:
    try:
        drawn: Pixels = np.load(cache)
    except (OSError, ValueError) as error:
        raise StorageError(f"expected pictures in {cache}, found {error}; delete it and run again") from error
    if drawn.shape != form:
        raise StorageError(
            f"expected pictures of the form {form} in {cache}, found {drawn.shape}, of another run; delete it"
        )
    return drawn


def _shrunk(picture: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))
