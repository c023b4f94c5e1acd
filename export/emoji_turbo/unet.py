"""Second stage: text encoders and UNet together, one step from noise to the autoencoder's latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from mixdq.export.emoji_turbo.architecture import Generator, build_scheduler
from mixdq.export.emoji_turbo.bos import key_value_layers, outlier_channels
from mixdq.export.emoji_turbo.data import Pixels
from mixdq.export.emoji_turbo.loop import Batch
from mixdq.export.emoji_turbo.noise_path import noise_path_modules, one_step_sigma
from mixdq.export.emoji_turbo.prompts import VARIANTS, Prompts
from mixdq.export.emoji_turbo.text import embed_prompts
from mixdq.export.emoji_turbo.vae import choose, encode_pictures, gaussian

_TIMESTEP = 999
_LOOSE_CAPTIONS = 0.2
_SLOW = 0.1
"""Learning rate's factor on the noise path: what jitters there shows 14.6 times enlarged."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the generator learns: by size the scaled latents `[emoji, 4, size/8, size/8]`, and the prompts."""

    latents: Mapping[int, Tensor]
    prompts: Prompts


def latents_of(vae: AutoencoderKL, pictures: Mapping[int, Pixels]) -> dict[int, Tensor]:
    """Every picture's scaled latents, by size."""
    factor = vae.config.scaling_factor
    return {size: encode_pictures(vae, some, 64) * factor for size, some in pictures.items()}


class GeneratorStage:
    """Trains a generator so that one step from any noise gives the caption's latents."""

    name = "unet"
    rate = 1e-3
    decay = 0.999

    def __init__(self, generator: Generator, lesson: Lesson, batches: Mapping[int, int], seed: int) -> None:
        """Takes the generator on its device; `batches`: pictures a step by size."""
        device = generator.unet.device
        self.module: nn.Module = generator
        self._device, self._batches, self._seed = device, batches, seed
        self._latents = {size: latents.to(device) for size, latents in lesson.latents.items()}
        self._ids, self._ids_2 = lesson.prompts.ids.to(device), lesson.prompts.ids_2.to(device)
        self._frozen = frozen_elements(generator)
        self._step = OneStep(generator)

    def sizes(self) -> tuple[int, ...]:
        """The picture sizes, in turn."""
        return tuple(sorted(self._latents))

    def rate_of(self, name: str, parameter: nn.Parameter) -> Tensor | float:
        """0 where the BOS outlier is read, small on the noise path, 1 elsewhere."""
        return self._frozen.get(name, 1.0)

    def batch(self, size: int, step: int, rank: int) -> Batch:
        """Latents, token ids and noise of one step; the label is the caption in four of five cases."""
        seed = (self._seed, 2, step, rank)
        chosen = choose(len(self._ids), self._batches[size], seed)
        random = np.random.default_rng((*seed, 1))
        loose = random.random(len(chosen)) < _LOOSE_CAPTIONS
        variant = torch.from_numpy(np.where(loose, random.integers(1, VARIANTS + 1, len(chosen)), 0))
        where = torch.stack([chosen, variant]).to(self._device)
        latents = self._latents[size][where[0]]
        return {
            "latents": latents,
            "ids": self._ids[where[0], where[1]],
            "ids_2": self._ids_2[where[0], where[1]],
            "noise": gaussian(tuple(latents.shape), seed, self._device),
        }

    def loss(self, batch: Batch) -> Tensor:
        """Mean over pictures of the latents' RMS error."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            made = self._step(batch["ids"], batch["ids_2"], batch["noise"])
        return (made - batch["latents"]).square().mean(dim=(1, 2, 3)).add(1e-6).sqrt().mean()


class OneStep:
    """The pipeline's only step as a differentiable function: token ids and unit noise to scaled latents."""

    def __init__(self, generator: Generator) -> None:
        """Keeps the noise path's arithmetic in FP32 under autocast from here on."""
        self._generator = generator
        # Both as the scheduler has them: the start is sigma n, the UNet sees it divided by sqrt(sigma^2 + 1).
        self._sigma = one_step_sigma(build_scheduler())
        self._scale = self._sigma / (self._sigma**2 + 1) ** 0.5
        for module in noise_path_modules(generator.unet):
            _keep_in_float32(module)

    def __call__(self, ids: Tensor, ids_2: Tensor, noise: Tensor) -> Tensor:
        """Scaled latents `[picture, 4, h, w]` from token ids `[picture, 77]` and unit noise of that shape."""
        one = self._generator
        text, pooled = embed_prompts(one.text_encoder, one.text_encoder_2, ids, ids_2)
        # SDXL's conditioning: original size, crop at (0, 0), target size. No tensor is copied from the CPU
        # here, which a CUDA graph could not hold.
        size = torch.full((len(noise), 2), 8.0 * noise.shape[-1], device=noise.device)
        sizes = torch.cat([size, torch.zeros_like(size), size], dim=1)
        predicted = one.unet(
            noise * self._scale,
            torch.full((len(noise),), _TIMESTEP, device=noise.device),
            encoder_hidden_states=text,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes},
            return_dict=False,
        )[0]
        result: Tensor = self._sigma * (noise - predicted.float())
        return result


def frozen_elements(generator: Generator) -> dict[str, Tensor | float]:
    """The learning rate's factors that are not 1, by parameter name of the generator."""
    unet = generator.unet
    columns = outlier_channels(unet.config.cross_attention_dim, generator.text_encoder.config.hidden_size)
    names = {id(p): name for name, p in generator.named_parameters()}
    factors: dict[str, Tensor | float] = {}
    for layer in key_value_layers(unet):
        factor = torch.ones_like(layer.weight)
        factor[:, columns] = 0.0
        factors[names[id(layer.weight)]] = factor
    for module in noise_path_modules(unet):
        factors.update({names[id(p)]: _SLOW for p in module.parameters()})
    return factors


def _keep_in_float32(module: nn.Module) -> None:
    inner: Callable[[Tensor], Tensor] = module.forward

    def forward(values: Tensor) -> Tensor:
        with torch.autocast(values.device.type, enabled=False):
            return inner(values.float())

    module.forward = forward
