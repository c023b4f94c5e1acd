import numpy as np
import pytest
import torch

from mixdq.eval.alignment.captions import caption_table
from mixdq.eval.alignment.inputs import CaptionTokens
from mixdq.eval.alignment.network import DualEncoder, Shape
from mixdq.eval.alignment.stage import AlignmentStage, Lesson
from mixdq.export.emoji_turbo.data import Emoji
from mixdq.export.emoji_turbo.flat import FlatAdam

SMALL = Shape(
    pixels=32, widths=(8, 16), depths=(1, 1), vocabulary=1600, tokens=12, text_width=32, text_layers=1,
    text_heads=2, embedding=16,
)  # fmt: skip
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 160, 0),
    "blue": (0, 0, 255),
    "black": (0, 0, 0),
    "yellow": (255, 220, 0),
}


def _stage() -> AlignmentStage:
    emoji = [Emoji(name, f"{name} circle", ()) for name in COLOURS]
    pictures = np.full((1, len(emoji), 40, 40, 3), 255, dtype=np.uint8)
    for place, colour in enumerate(COLOURS.values()):
        pictures[0, place, 8:32, 8:32] = colour
    # The first two share all words that count; the last shares none with any.
    alike = torch.zeros(5, 5)
    alike[0, 1] = alike[1, 0] = 1.0
    alike[2, 3] = alike[3, 2] = alike[0, 2] = alike[2, 0] = 0.5
    captions = caption_table(emoji, CaptionTokens(SMALL.tokens), 0)
    torch.manual_seed(0)
    lesson = Lesson(pictures, [True] * 5, captions, alike)
    return AlignmentStage(DualEncoder(SMALL), SMALL.pixels, lesson, 5, 0.1, 0)


@pytest.fixture(name="stage")
def _fixture() -> AlignmentStage:
    torch.set_num_threads(1)
    return _stage()


def test_a_batch_is_a_function_of_its_step(stage: AlignmentStage) -> None:
    one, again, other = (stage.batch(32, step, 0) for step in (7, 7, 8))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["pictures"], other["pictures"])
    assert one["pictures"].shape == (10, 3, 32, 32)
    assert one["ids"].shape == one["present"].shape == (10, 12)


def test_targets_go_to_the_own_emoji_and_to_those_of_like_words(stage: AlignmentStage) -> None:
    targets = stage.batch(32, 0, 0)["targets"]
    assert targets.sum(dim=1).tolist() == pytest.approx([1] * 5)
    own = sorted(targets.diagonal().tolist())
    # 0.6 where others are alike, all where none is.
    assert own == pytest.approx([0.6, 0.6, 0.6, 0.6, 1.0])


def test_a_perfect_encoder_has_a_lower_loss_than_a_confused_one(stage: AlignmentStage) -> None:
    targets = torch.eye(5)
    vectors = torch.eye(5, 16)
    good = stage._contrast(vectors, vectors, targets).item()
    bad = stage._contrast(vectors, vectors.roll(1, 0), targets).item()
    # Scale 10: -log(e^10 / (e^10 + 4)), and with another's direction -log(1 / (e^10 + 4)).
    assert good == pytest.approx(np.log1p(4 * np.exp(-10)), abs=1e-6)
    assert bad == pytest.approx(10 + good, abs=1e-4)


def test_colours_are_learnt_in_a_few_steps(stage: AlignmentStage) -> None:
    optimizer = FlatAdam(stage.module, stage.rate_of, 0.9)
    losses = []
    for step in range(60):
        optimizer.gradient.zero_()
        loss = stage.loss(stage.batch(32, step, 0))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step(3e-3)
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.5
