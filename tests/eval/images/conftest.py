"""A small set of pictures, to read and to damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixdq.configs.files import sha256_of_file
from mixdq.configs.layers import ModelIdentity
from mixdq.eval.image_set import ImageRecord, ImageSet, Painter

PAINTER = Painter(
    kind="bundle",
    model=ModelIdentity("tiny", "0" * 64),
    plan="FP16",
    plan_digest="1" * 64,
    engines={"unet.onnx": "2" * 64},
    target="cpu",
    device="cpu",
    scheduler="euler_ancestral",
    steps=1,
    resolution=16,
)


@pytest.fixture
def image_set(tmp_path: Path) -> Path:
    """A whole set of three pictures of 16 pixels, of noise."""
    folder = tmp_path / "set"
    folder.mkdir()
    records = []
    for index in range(3):
        path = folder / f"{index:04d}.png"
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        records.append(ImageRecord(index, f"prompt {index}", index, path.name, sha256_of_file(path)))
    ImageSet(PAINTER, "3" * 64, 3, tuple(records), {}, {}).write(folder)
    return folder
