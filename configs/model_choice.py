"""What to compile, as the command line says it: a model, and where its weights come from."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT

VaePrecision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, config=STRICT)
class ModelChoice:
    """A model and the sources of its weights.

    Attributes:
        model: a shipped model (`emoji-turbo`, `sdxl-turbo`), a diffusers folder, or a hub id.
        weights: `synthetic`, `synthetic:SEED`, a diffusers folder, one safetensors checkpoint of the whole
            pipeline, or a hub id; None for the model's own.
        variant: of the weights' file names: `fp16` reads `….fp16.safetensors`; None for FP16 if there is one.
        vae: a folder or hub id of an `AutoencoderKL` in place of the model's (the FP16-safe one, say).
        loras: LoRA files that are fused into the UNet before anything else, each `FILE` or `FILE:SCALE`.
        scheduler: `euler_ancestral`, `euler` or `lcm` in place of the model's own sampler; None for its own.
        vae_precision: what the VAE decoder computes in; SDXL's own overflows in FP16.
    """

    model: str
    weights: str | None = None
    variant: str | None = None
    vae: str | None = None
    loras: tuple[str, ...] = ()
    scheduler: str | None = None
    vae_precision: VaePrecision = "float32"
