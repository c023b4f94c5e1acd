"""The whole training of the dual encoder: data, emoji-turbo's drawings, the stage, accuracy, files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydantic.dataclasses import dataclass as document

from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.eval.alignment.accuracy import Accuracy, accuracy
from mixdq.eval.alignment.captions import caption_table, likeness
from mixdq.eval.alignment.drawn import drawn_pictures
from mixdq.eval.alignment.inputs import CaptionTokens
from mixdq.eval.alignment.network import DualEncoder, Shape
from mixdq.eval.alignment.scorer import AlignmentScorer
from mixdq.eval.alignment.shipped import read_model, write_model
from mixdq.eval.alignment.split import Side, side
from mixdq.eval.alignment.stage import AlignmentStage, Lesson
from mixdq.eval.alignment.styles import other_styles
from mixdq.eval.alignment.views import can_mirror
from mixdq.export.emoji_turbo.data import EmojiData, Pixels, load_emoji
from mixdq.export.emoji_turbo.loop import Pace, train_stage
from mixdq.export.emoji_turbo.workers import Workers

SHIPPED_SHAPE = Shape(
    pixels=96, widths=(32, 64, 128, 192), depths=(1, 2, 2, 1), vocabulary=1600, tokens=32, text_width=128,
    text_layers=2, text_heads=4, embedding=128,
)  # fmt: skip

_SIDE = 128
"""Pixels of each side of the pictures that views are taken from."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a training run is told.

    Attributes:
        out: the folder to write.
        data: where the npm packages lie or will lie.
        shape: sizes of the networks.
        steps: of the optimizer.
        emoji: how many in each step.
        resolutions: at which emoji-turbo draws the emoji for additional views.
        styles: take other artists' drawings for additional views.
        minutes: stop with a checkpoint after so long.
        validate: leave the emoji of `Side.VALIDATE` out too and measure them in place of the held-out ones.
        token_loss: the share of a caption's tokens that is left out in training.
        seed: of everything random.
        limit: read only so many emoji.
    """

    out: Path
    data: Path
    shape: Shape
    steps: int
    emoji: int
    resolutions: tuple[int, ...]
    styles: bool
    minutes: float
    validate: bool
    token_loss: float
    seed: int
    limit: int | None


@document(frozen=True, slots=True, config=STRICT)
class AccuracyReport:
    """The trained model's figures (`accuracy.json`), on the emoji's own pictures, with labels as captions.

    Attributes:
        weights_sha256: of what was measured, FP16 weights as shipped.
        unseen_side: which emoji were left out: `held out`, or `validate` where settings were compared.
        unseen: over those, among themselves.
        seen: over the emoji that were trained on, among themselves.
    """

    weights_sha256: str
    unseen_side: Side
    unseen: Accuracy
    seen: Accuracy


def train(settings: Settings, device: str) -> AccuracyReport | None:
    """Trains to the end, or for `settings.minutes`; run again, it goes on from its checkpoint.

    Returns:
        The figures; None if the time ran out first, and then no model is written.

    Raises:
        StorageError: data can't be had, or a file can't be written.
        ModelError: the data's packages are not as expected.
        EvaluationError: too few emoji, or other styles are asked for and can't be rendered.
    """
    deadline = time.monotonic() + 60 * settings.minutes
    data = load_emoji(settings.data, (_SIDE,), settings.limit)
    unseen_side = Side.VALIDATE if settings.validate else Side.HELD_OUT
    seen = _places(data, {Side.TRAIN} if settings.validate else {Side.TRAIN, Side.VALIDATE})
    unseen = _places(data, {unseen_side})
    if min(len(seen), len(unseen)) < 2:
        raise EvaluationError(
            f"expected two emoji or more to train on and to measure, found {len(seen)} and {len(unseen)}; "
            "give a greater --limit"
        )
    checkpoints = settings.out.with_name(f"{settings.out.name}-checkpoint")
    torch.manual_seed(settings.seed)
    model = DualEncoder(settings.shape).to(device)
    stage = AlignmentStage(
        model, settings.shape.pixels, _lesson(settings, data, seen, device, checkpoints),
        settings.emoji, settings.token_loss, settings.seed,
    )  # fmt: skip
    pace = Pace(settings.steps, max(1, settings.steps // 8), False, deadline)
    if not train_stage(stage, pace, Workers(0, 1, torch.device(device)), checkpoints / "alignment.pt"):
        return None
    config = write_model(settings.out, model, settings.shape)
    again, _ = read_model(settings.out)
    scorer = AlignmentScorer(again.to(device), config.shape, config.weights_sha256, 64)
    report = AccuracyReport(
        config.weights_sha256, unseen_side, measure(scorer, data, unseen), measure(scorer, data, seen),
    )  # fmt: skip
    write_text(settings.out / "accuracy.json", to_json(report))
    return report


def measure(scorer: AlignmentScorer, data: EmojiData, places: Sequence[int]) -> Accuracy:
    """Accuracy over the emoji of these places: their own pictures, and their labels."""
    pictures = [Image.fromarray(data.pictures[_SIDE][place]) for place in places]
    images = scorer.embed_images(pictures)
    texts = scorer.embed_prompts([data.emoji[place].label for place in places])
    return accuracy(images.numpy(), texts.numpy())


def _places(data: EmojiData, sides: set[Side]) -> list[int]:
    return [place for place, one in enumerate(data.emoji) if side(one.label) in sides]


def _lesson(
    settings: Settings, data: EmojiData, places: Sequence[int], device: str, checkpoints: Path
) -> Lesson:
    emoji = [data.emoji[place] for place in places]
    own: Pixels = data.pictures[_SIDE][list(places)]
    sources = [own[None]]
    if settings.styles:
        sources.append(other_styles(settings.data, emoji, own))
    if settings.resolutions:
        sources.append(
            drawn_pictures(
                emoji, settings.resolutions, _SIDE, device, settings.seed, checkpoints / "drawn.npy"
            )
        )
    tokens = CaptionTokens(settings.shape.tokens)
    mirror = [can_mirror(one.label) for one in emoji]
    return Lesson(
        np.concatenate(sources), mirror, caption_table(emoji, tokens, settings.seed), likeness(emoji)
    )
