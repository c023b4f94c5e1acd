"""From prompts to pictures: the diffusion pipeline over a bundle's engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Self, TypeAlias, overload

import numpy as np
from PIL.Image import Image

from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.errors import RequestError
from mixdq.runtime.engine import Array, run_padded
from mixdq.runtime.images import FINITE, IMAGES, to_images
from mixdq.runtime.noise import Floats, NoiseSource
from mixdq.runtime.request import PictureRequest, Seed, Seeds, is_several, parse_request
from mixdq.runtime.scheduler import schedule
from mixdq.runtime.store import EngineStore
from mixdq.runtime.tokenizer import PromptTokenizer

Prompts: TypeAlias = list[str] | tuple[str, ...]


class Stage(StrEnum):
    """A part of the way from prompts to pictures, done once a batch.

    `TEXT`: tokenizers and text encoders. `UNET`: noise and all denoising steps. `VAE`: the decoder, up to
    pictures of 8 bits.
    """

    TEXT = "text"
    UNET = "unet"
    VAE = "vae"


StageWatch: TypeAlias = Callable[[Stage], AbstractContextManager[object]]
"""Gives a context that is entered before a stage and left after it."""


class Pipeline:
    """Makes pictures; `mixdq.runtime.load` gives one. Several threads may call it; a context manager.

    Attributes:
        bundle: what was loaded.
        engine: opens an engine by component and resolution, for those who want to time it.
        on_stage: around every stage of every batch; may be set, to time them. Engines return when their work
            is done, so the processor's clock measures a GPU's stages, too.
    """

    def __init__(self, bundle: Bundle, engines: EngineStore) -> None:
        """Reads the tokenizers; the engines of a resolution are opened with its first picture."""
        self.bundle = bundle
        self.engine = engines
        self.on_stage: StageWatch = nullcontext
        first, second = (
            PromptTokenizer(engines.check(file), max_tokens=bundle.pipeline.max_tokens, pad_token_id=pad)
            for file, pad in zip(bundle.tokenizers, bundle.pipeline.pad_token_ids, strict=True)
        )
        self._tokenizers = (first, second)

    @overload
    def __call__(
        self, prompt: str, *, seed: Seed, resolution: int | None = None, steps: int = 1
    ) -> Image: ...
    @overload
    def __call__(
        self, prompt: str, *, seed: Seeds, resolution: int | None = None, steps: int = 1
    ) -> list[Image]: ...
    @overload
    def __call__(
        self, prompt: Prompts, *, seed: Seed | Seeds, resolution: int | None = None, steps: int = 1
    ) -> list[Image]: ...
    def __call__(
        self,
        prompt: str | Prompts,
        *,
        seed: Seed | Seeds,
        resolution: int | None = None,
        steps: int = 1,
    ) -> Image | list[Image]:
        """Makes one picture, or a list of them if `prompt` or `seed` is a sequence or an array.

        The same prompt, seed, resolution and steps give the same picture, alone or among others.

        Args:
            prompt: what to draw; several for several pictures.
            seed: where the noise starts; one serves all prompts, several draw one prompt several times.
            resolution: pixels of each side; may be left out if the bundle was built for a single one.
            steps: denoising steps; SDXL-Turbo is meant for 1.

        Raises:
            RequestError: no such picture can be made; says why.
            BundleError: an engine that is needed is missing or can't be loaded.
            DigestError: a file of the bundle was changed or damaged.
        """
        request = parse_request(prompt, seed, resolution, steps, self.bundle.resolutions)
        images: list[Image] = []
        for start in range(0, len(request.prompts), self.bundle.batch):
            part = request.part(start, self.bundle.batch)
            with self.on_stage(Stage.TEXT):
                text, pooled = self._embed(part)
            with self.on_stage(Stage.UNET):
                latents = self._denoise(part, text, pooled)
            with self.on_stage(Stage.VAE):
                images += to_images(self._decode(latents, part.resolution))
        return images[0] if isinstance(prompt, str) and not is_several(seed) else images

    def close(self) -> None:
        """Gives the engines' memory back, a GPU's above all; no picture can be made afterwards."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _denoise(self, request: PictureRequest, text: Floats, pooled: Floats) -> Floats:
        spec, resolution = self.bundle.pipeline, request.resolution
        steps = schedule(spec.scheduler, request.steps)
        count = len(request.prompts)
        size = np.tile([resolution, resolution, 0, 0, resolution, resolution], (count, 1))
        noise = NoiseSource(request.seeds)
        side = resolution // spec.downsampling
        shape = (spec.latent_channels, side, side)
        sample = noise.draw(shape) * steps[0].sigma
        for step in steps:
            inputs = {
                "sample": step.scale(sample),
                "timestep": np.asarray(step.timestep),
                "encoder_hidden_states": text,
                "text_embeds": pooled,
                "time_ids": size,
            }
            prediction = self._run(Component.UNET, resolution, **inputs)["noise_prediction"]
            sample = step.advance(sample, prediction, noise.draw(shape) if step.next_sigma else None)
        return sample

    def _embed(self, request: PictureRequest) -> tuple[Floats, Floats]:
        """SDXL's text embedding `[n, tokens, h1 + h2]` and the second encoder's pooled one `[n, p]`."""
        ids, ids_2 = (tokenizer(request.prompts) for tokenizer in self._tokenizers)
        first = self._run(Component.TEXT_ENCODER, request.resolution, input_ids=ids)
        second = self._run(Component.TEXT_ENCODER_2, request.resolution, input_ids=ids_2)
        text = np.concatenate([first["hidden_states"], second["hidden_states"]], axis=-1)
        return text, second["pooled"]

    def _decode(self, latents: Floats, resolution: int) -> Array:
        scaled = latents / np.float32(self.bundle.pipeline.vae_scaling_factor)
        return self._run(Component.VAE_DECODER, resolution, latents=scaled)[IMAGES]

    def _run(self, component: Component, resolution: int, **inputs: Array) -> dict[str, Array]:
        outputs = run_padded(self.engine(component, resolution), inputs)
        if (name := _not_finite(outputs)) is not None:
            raise RequestError(
                f"the {component} engine gave values in {name} that are not finite numbers; the model "
                "overflows at this precision: keep more of its layers in floating point "
                "(`mixdq-compile run --keep`), or use an FP16-safe VAE"
            )
        return outputs


def _not_finite(outputs: Mapping[str, Array]) -> str | None:
    """The first output with values that are no finite numbers."""
    for name, value in outputs.items():
        if name == FINITE:
            if not value.all():
                return IMAGES
        elif np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            return name
    return None
