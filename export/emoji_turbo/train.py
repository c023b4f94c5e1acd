"""The whole training: data, autoencoder, generator, end to end, diffusers folder; each step resumes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from mixdq.export.emoji_turbo.architecture import Architecture, Generator, build_generator, build_vae
from mixdq.export.emoji_turbo.bos import RAISE, raise_bos
from mixdq.export.emoji_turbo.data import EmojiData, load_emoji
from mixdq.export.emoji_turbo.finish import FinishStage
from mixdq.export.emoji_turbo.folder import write_folder
from mixdq.export.emoji_turbo.loop import Pace, Stage, train_stage
from mixdq.export.emoji_turbo.prompts import Prompts
from mixdq.export.emoji_turbo.unet import GeneratorStage, Lesson, latents_of
from mixdq.export.emoji_turbo.vae import VaeStage, finish_vae
from mixdq.export.emoji_turbo.workers import Workers


@dataclass(frozen=True, slots=True)
class Settings:
    """What a training run is told. Batches are pictures of the smallest size, a step and process."""

    out: Path
    data: Path
    checkpoints: Path
    sizes: tuple[int, ...]
    steps: Mapping[str, int]
    """By stage: vae, unet, finish."""
    batches: Mapping[str, int]
    minutes: float
    save_every: int
    compile: bool
    seed: int
    limit: int | None = None


def train(shape: Architecture, settings: Settings, workers: Workers) -> bool:
    """Trains to the end, or for `settings.minutes`; run again, it goes on from its checkpoints.

    Returns:
        False if the time ran out before the end; then nothing is written to `settings.out`.

    Raises:
        StorageError: data can't be had, or a file can't be written.
        ModelError: the data's packages are not as expected.
    """
    deadline = time.monotonic() + 60 * settings.minutes
    data = load_emoji(settings.data, settings.sizes, settings.limit)
    prompts = Prompts(data.emoji, shape.vocabulary, settings.seed)
    vae = build_vae(shape, settings.seed).to(workers.device)
    generator = build_generator(shape, settings.seed).to(workers.device)
    run = _Run(settings, workers, deadline)
    done = run.stage(VaeStage(vae, data.pictures, run.batches("vae"), settings.seed))
    if done:
        finish_vae(vae, data.pictures)
        done = _train_generator(run, generator, vae, data, prompts)
    if done and workers.leads:
        raise_bos(generator.text_encoder, generator.text_encoder_2, generator.unet, RAISE)
        write_folder(settings.out, generator, vae, prompts.vocab, prompts.merges)
    return done


def _train_generator(
    run: _Run, generator: Generator, vae: AutoencoderKL, data: EmojiData, prompts: Prompts
) -> bool:
    lesson = Lesson(latents_of(vae, data.pictures), prompts)
    seed = run.settings.seed
    return run.stage(GeneratorStage(generator, lesson, run.batches("unet"), seed)) and run.stage(
        FinishStage(generator, vae, lesson, data.pictures, run.batches("finish"), seed)
    )


@dataclass(frozen=True, slots=True)
class _Run:
    settings: Settings
    workers: Workers
    deadline: float

    def stage(self, stage: Stage) -> bool:
        settings = self.settings
        pace = Pace(settings.steps[stage.name], settings.save_every, settings.compile, self.deadline)
        done = train_stage(stage, pace, self.workers, settings.checkpoints / f"{stage.name}.pt")
        if self.workers.device.type == "cuda":
            torch.cuda.empty_cache()
        return done

    def batches(self, stage: str) -> dict[int, int]:
        """Pictures a step by size: as many pixels at every size."""
        least = min(self.settings.sizes)
        return {
            size: max(1, math.ceil(self.settings.batches[stage] * (least / size) ** 2))
            for size in self.settings.sizes
        }
