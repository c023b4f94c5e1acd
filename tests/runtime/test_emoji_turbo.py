"""The compiled emoji-turbo against diffusers' own pipeline, on the same noise."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL.Image import Image

from mixdq.configs.presets import shipped_model
from mixdq.runtime import load

PROMPTS, SEEDS = ["red apple", "a sleepy cat, in FRENCH café!", ""], [11, 12, 13]


@pytest.fixture(scope="module")
def theirs() -> StableDiffusionXLPipeline:
    folder = shipped_model("emoji-turbo")
    assert folder is not None
    pipeline = StableDiffusionXLPipeline.from_pretrained(folder).to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _reference(theirs: StableDiffusionXLPipeline, prompt: str, seed: int, side: int) -> np.ndarray:
    """diffusers' picture in [0, 1], before it is rounded to bytes."""
    noise = np.random.Generator(np.random.Philox(seed)).standard_normal(
        (1, 4, side // 8, side // 8), dtype=np.float32
    )
    pictures = theirs(
        prompt,
        height=side,
        width=side,
        num_inference_steps=1,
        guidance_scale=0.0,
        latents=torch.from_numpy(noise),
        output_type="np",
    ).images
    return np.asarray(pictures[0], dtype=np.float64)


def _psnr(picture: Image, reference: np.ndarray) -> float:
    error = np.mean((np.asarray(picture, dtype=np.float64) - np.rint(reference * 255)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize("side", [128, 192])
def test_full_precision_is_diffusers_pictures_to_60_db(
    emoji_full: Path, theirs: StableDiffusionXLPipeline, side: int
) -> None:
    pictures = load(emoji_full)(PROMPTS, seed=SEEDS, resolution=side)
    for picture, prompt, seed in zip(pictures, PROMPTS, SEEDS, strict=True):
        assert _psnr(picture, _reference(theirs, prompt, seed, side)) >= 60


def test_w8a8_is_near_full_precision_and_not_the_same(
    emoji_w8a8: Path, theirs: StableDiffusionXLPipeline
) -> None:
    pictures = load(emoji_w8a8)(PROMPTS, seed=SEEDS, resolution=128)
    likeness = [
        _psnr(picture, _reference(theirs, prompt, seed, 128))
        for picture, prompt, seed in zip(pictures, PROMPTS, SEEDS, strict=True)
    ]
    assert 18 < np.mean(likeness) < 45


def test_the_same_seed_gives_the_same_bytes_in_another_pipeline(emoji_w8a8: Path) -> None:
    first, second = (load(emoji_w8a8)("pizza", seed=3, resolution=128) for _ in range(2))
    assert first.tobytes() == second.tobytes()
