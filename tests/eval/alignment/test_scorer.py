"""The shipped dual encoder on pictures drawn here: its model card's claims, measured again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file
from mixdq.configs.layers import ModelIdentity
from mixdq.eval.alignment import shipped
from mixdq.eval.alignment.check import check_bundles
from mixdq.eval.alignment.scorer import AlignmentScorer, open_alignment, open_scorer, require_emoji
from mixdq.eval.alignment.split import Side, side
from mixdq.eval.image_set import ImageSet, Painter
from mixdq.runtime import load

SEEN = (
    "rocket", "cat", "dog", "red apple", "bus", "penguin", "snail", "rose", "hot dog", "soccer ball",
    "guitar", "key", "pizza", "turtle", "skull", "sailboat",
)  # fmt: skip
HELD_OUT = (
    "banana", "fox", "lion", "automobile", "crown", "strawberry", "peach", "rainbow", "giraffe", "bell",
    "octopus", "camera", "house with garden", "red square", "saxophone", "full moon",
)  # fmt: skip


@pytest.fixture(name="scorer", scope="module")
def _scorer() -> AlignmentScorer:
    return open_scorer("cpu", 64)


@pytest.fixture(name="drawn", scope="module")
def _drawn(emoji_full: Path) -> dict[str, Image.Image]:
    prompts = SEEN + HELD_OUT
    with load(emoji_full) as pipeline:
        return dict(zip(prompts, pipeline(prompts, seed=5, resolution=128), strict=True))


def _scores(scorer: AlignmentScorer, drawn: dict[str, Image.Image], prompts: tuple[str, ...]) -> np.ndarray:
    """Every picture (rows) with every prompt."""
    images = scorer.embed_images([drawn[prompt] for prompt in prompts])
    return np.asarray(images @ scorer.embed_prompts(prompts).T)


def test_the_shipped_file_is_small_and_is_what_its_configuration_names(scorer: AlignmentScorer) -> None:
    weights = shipped.FOLDER / "model.safetensors"
    assert weights.stat().st_size < 5e6
    assert scorer.weights_sha256 == sha256_of_file(weights)
    assert scorer.weights_sha256 in (shipped.FOLDER / "accuracy.json").read_text()
    assert open_alignment().name == "emoji alignment"


def test_pictures_of_known_prompts_are_told_apart(
    scorer: AlignmentScorer, drawn: dict[str, Image.Image]
) -> None:
    assert all(side(prompt) is not Side.HELD_OUT for prompt in SEEN)
    scores = _scores(scorer, drawn, SEEN)
    assert (scores.argmax(axis=1) == np.arange(16)).mean() >= 0.9
    # The card: 0.72 for pairs and 0.02 for others.
    assert scores.diagonal().mean() == pytest.approx(0.72, abs=0.12)
    assert scores[~np.eye(16, dtype=bool)].mean() == pytest.approx(0.02, abs=0.1)


def test_pictures_of_prompts_that_training_left_out_score_above_shuffled_ones(
    scorer: AlignmentScorer, drawn: dict[str, Image.Image]
) -> None:
    assert all(side(prompt) is Side.HELD_OUT for prompt in HELD_OUT)
    scores = _scores(scorer, drawn, HELD_OUT)
    gap = scores.diagonal() - scores[~np.eye(16, dtype=bool)].reshape(16, 15).mean(axis=1)
    # The card: 0.21 over 158 pairs.
    assert gap.mean() > 2 * gap.std(ddof=1) / 4


def test_scores_do_not_depend_on_the_batch_or_on_what_else_is_in_it(drawn: dict[str, Image.Image]) -> None:
    prompts = [*SEEN[:6], "a cat with a very long description that goes on and on " * 4]
    images = [*(drawn[prompt] for prompt in SEEN[:6]), drawn["cat"].resize((192, 192))]
    whole = open_alignment(batch=64).score(images, prompts)
    single = open_alignment(batch=1).score(images, prompts)
    assert whole.dtype == np.float64
    np.testing.assert_allclose(single, whole, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(open_alignment(batch=64).score(images, prompts), whole)


def test_a_picture_at_another_size_scores_alike(
    scorer: AlignmentScorer, drawn: dict[str, Image.Image]
) -> None:
    prompts = list(SEEN)
    small = scorer.score([drawn[prompt] for prompt in prompts], prompts)
    large = scorer.score([drawn[prompt].resize((256, 256)) for prompt in prompts], prompts)
    assert np.abs(small - large).mean() < 0.03


def test_no_picture_gives_no_score(scorer: AlignmentScorer) -> None:
    assert scorer.score([], []).shape == (0,)


def test_what_is_no_pair_is_refused(scorer: AlignmentScorer) -> None:
    square, wide = Image.new("RGB", (32, 32)), Image.new("RGB", (32, 16))
    with pytest.raises(EvaluationError, match="found 1 pictures and 2 prompts"):
        scorer.score([square], ["a", "b"])
    with pytest.raises(EvaluationError, match="found picture 1 of 32 x 16 pixels"):
        scorer.score([square, wide], ["a", "b"])
    with pytest.raises(EvaluationError, match="expected a batch of 1 or more pictures, found 0"):
        open_alignment(batch=0)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shipped.FOLDER, copy)
    with (copy / "model.safetensors").open("r+b") as file:
        file.truncate(1_000_000)
    with pytest.raises(EvaluationError, match="the file was changed or is incomplete"):
        shipped.read_model(copy)


def test_pictures_of_another_model_are_refused() -> None:
    painter = Painter(
        "bundle", ModelIdentity("emoji-turbo", "0" * 64), "float32", None, {}, "cpu", "cpu", "euler", 1, 128
    )
    pictures = ImageSet(painter, "0" * 64, 0, (), {}, {})
    require_emoji(pictures)
    other = replace(pictures, painter=replace(painter, model=ModelIdentity("sdxl-turbo", "0" * 64)))
    with pytest.raises(EvaluationError, match="these are of sdxl-turbo; use CLIP score"):
        require_emoji(other)


def test_bundles_are_compared_prompt_by_prompt(emoji_full: Path, emoji_w8a8: Path) -> None:
    report = check_bundles((emoji_full, emoji_full, emoji_w8a8), SEEN[:4], Side.TRAIN, 128, seed=5)
    first, same, quantized = report.bundles
    assert first.minus_first is None
    assert same.minus_first is not None
    assert (same.minus_first.mean, same.minus_first.low, same.minus_first.high) == (0, 0, 0)
    assert same.accuracy == first.accuracy
    assert first.matched_minus_shuffled.low > 0.1
    assert quantized.minus_first is not None
    assert quantized.minus_first.mean != 0
    assert quantized.accuracy.count == 4


def test_prompts_that_cannot_be_shuffled_are_refused(emoji_full: Path) -> None:
    for prompts in ((), ("cat",), ("cat", "cat")):
        with pytest.raises(EvaluationError, match="expected prompts that can be shuffled"):
            check_bundles((emoji_full,), prompts, Side.TRAIN, 128, seed=0)
