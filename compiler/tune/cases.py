"""What the engines are run on: the UNet's inputs for fixed prompts and noise, and how pictures follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mixdq.compiler.recipe import read_prompts
from mixdq.compiler.worker import Report
from mixdq.configs.errors import ModelError, RequestError
from mixdq.configs.presets import preset_for
from mixdq.export.source import SourceModel

Array = npt.NDArray[Any]
Inputs = Mapping[str, Array]

_TOLERANCE = 1e-3  # of latents that are in the tens


@dataclass(frozen=True, slots=True)
class CaseOrder:
    """On what to run the engines.

    Attributes:
        source: the model.
        prompts: at least one; repeated to fill the last batch.
        seed: batch i starts from the noise of seed + i.
        batch: pictures at once.
    """

    source: SourceModel
    prompts: tuple[str, ...]
    seed: int
    batch: int


@dataclass(frozen=True, slots=True)
class Cases:
    """The first step of batches of pictures at one resolution.

    Attributes:
        inputs: of the UNet, a mapping a batch, in FP32.
        offsets: `[B, 4, h, w]` a batch; the latents that a prediction leads to are offset + slope prediction.
        slope: see `offsets`; one number, as every sampler's single step is linear in the prediction.
        scaling: latents are divided by it before the VAE decoder.
    """

    inputs: tuple[Inputs, ...]
    offsets: tuple[Array, ...]
    slope: float
    scaling: float

    def latents(self, batch: int, prediction: Array) -> Array:
        """What the VAE decoder is given, `[B, 4, h, w]`."""
        scaled: Array = (self.offsets[batch] + self.slope * prediction.astype(np.float32)) / self.scaling
        return scaled


def prompts_of(source: SourceModel, pictures: int) -> tuple[str, ...]:
    """The first prompts of the model's preset.

    Raises:
        RequestError: no pictures, or more than there are prompts.
    """
    prompts = read_prompts(preset_for(source.identity.name).prompts_file, None)
    if not 1 <= pictures <= len(prompts):
        raise RequestError(f"--pictures {pictures} is out of bounds; use 1 to {len(prompts)}")
    return prompts[:pictures]


def find_cases(report: Report, order: CaseOrder, resolutions: tuple[int, ...]) -> dict[int, Cases]:
    """The cases of all resolutions; torch reads the text encoders' weights alone."""
    report("importing torch", 0, None)
    from mixdq.export.reference import ReferencePipeline

    report("encoding", 0, None)
    pipeline = ReferencePipeline(order.source, streamed=True)
    size = order.batch
    prompts = [order.prompts[i % len(order.prompts)] for i in range(-(-len(order.prompts) // size) * size)]
    batches = [prompts[start : start + size] for start in range(0, len(prompts), size)]
    texts = [pipeline.encode(batch) for batch in batches]
    return {
        resolution: _at(order, pipeline, [(t.numpy(), p.numpy()) for t, p in texts], resolution)
        for resolution in resolutions
    }


def _at(order: CaseOrder, pipeline: Any, texts: list[tuple[Array, Array]], resolution: int) -> Cases:
    from mixdq.export.reference import unit_noise

    scheduler = pipeline.pipeline.scheduler
    scheduler.set_timesteps(1)
    timestep = scheduler.timesteps[0]
    size = np.asarray([resolution, resolution, 0, 0, resolution, resolution], dtype=np.float32)
    inputs, offsets, slopes = [], [], []
    for number, (text, pooled) in enumerate(texts):
        noise = unit_noise(order.source, order.batch, resolution, order.seed + number)
        scheduler.set_timesteps(1)
        noisy = noise * scheduler.init_noise_sigma
        inputs.append(
            {
                "sample": scheduler.scale_model_input(noisy, timestep).numpy(),
                "timestep": np.asarray(timestep.numpy(), dtype=np.float32),
                "encoder_hidden_states": text,
                "text_embeds": pooled,
                "time_ids": np.tile(size, (order.batch, 1)),
            }
        )
        offset, slope = _line(scheduler, noisy, timestep)
        offsets.append(offset)
        slopes.append(slope)
    return Cases(tuple(inputs), tuple(offsets), slopes[0], order.source.configs["vae"]["scaling_factor"])


def _line(scheduler: Any, noisy: Any, timestep: Any) -> tuple[Array, float]:
    """The offset and the slope of the latents over the prediction, checked at a third point."""
    import torch

    def latents(level: float) -> Array:
        scheduler.set_timesteps(1)
        generator = torch.Generator().manual_seed(0)
        prediction = torch.full_like(noisy, level)
        found = scheduler.step(prediction, timestep, noisy, generator=generator, return_dict=False)[0]
        array: Array = found.numpy()
        return array

    offset = latents(0.0)
    slope = float((latents(1.0) - offset).mean())
    if np.abs(latents(0.5) - offset - 0.5 * slope).max() > _TOLERANCE * max(1.0, np.abs(offset).max()):
        raise ModelError(
            f"one step of {type(scheduler).__name__} is not linear in the UNet's prediction, by which tune "
            "makes pictures; tune with --scheduler euler_ancestral, euler or lcm"
        )
    return offset, slope
