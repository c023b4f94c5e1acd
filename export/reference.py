"""The model in torch, in FP32 on the CPU: what calibration observes and what engines are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mixdq.configs.bundle import Component
from mixdq.export.modules import load_module, stream_module
from mixdq.export.source import SourceModel


class ReferencePipeline:
    """diffusers' own SDXL pipeline on the model's weights, guidance off."""

    def __init__(self, source: SourceModel, *, streamed: bool) -> None:
        """Opens the model.

        Args:
            source: the checked model.
            streamed: whether layers read their weights when they run (see `stream_module`), so that SDXL fits
                into 4 GB; else the whole model is loaded in FP32.
        """
        # Imported here, after mixdq.export.modules has silenced transformers' notes on torchvision.
        import diffusers
        from diffusers import StableDiffusionXLPipeline
        from transformers import CLIPTokenizer

        config = dict(source.configs["scheduler"])
        load = stream_module if streamed else load_module
        modules: dict[Component, Any] = {
            component: load(source, component, torch.float32) for component in Component
        }
        self.source = source
        self.unet = modules[Component.UNET]
        self.pipeline = StableDiffusionXLPipeline(
            vae=modules[Component.VAE_DECODER],
            text_encoder=modules[Component.TEXT_ENCODER],
            text_encoder_2=modules[Component.TEXT_ENCODER_2],
            tokenizer=CLIPTokenizer.from_pretrained(source.folder / "tokenizer"),
            tokenizer_2=CLIPTokenizer.from_pretrained(source.folder / "tokenizer_2"),
            unet=self.unet,
            scheduler=getattr(diffusers, config["_class_name"]).from_config(config),
            add_watermarker=False,
        )
        self.pipeline.set_progress_bar_config(disable=True)

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Text embeddings `[B, 77, C]` and pooled embeddings `[B, p]`."""
        with torch.no_grad():
            text, _, pooled, _ = self.pipeline.encode_prompt(list(prompts), do_classifier_free_guidance=False)
        return text, pooled

    def latents(self, prompts: Sequence[str], noise: Tensor, resolution: int, steps: int = 1) -> Tensor:
        """From unit noise `[B, 4, h, w]` to latents `[B, 4, h, w]`, by default in one step."""
        latents: Tensor = self._run(prompts, noise, resolution, "latent", steps)
        return latents

    def images(self, prompts: Sequence[str], noise: Tensor, resolution: int) -> npt.NDArray[np.float32]:
        """One step from unit noise `[B, 4, h, w]` to images `[B, H, W, 3]` in [0, 1]."""
        images: npt.NDArray[np.float32] = self._run(prompts, noise, resolution, "np", 1)
        return images

    def _run(self, prompts: Sequence[str], noise: Tensor, resolution: int, output: str, steps: int) -> Any:
        with torch.no_grad():
            # Drawn between steps, where the sampler is ancestral.
            generator = torch.Generator().manual_seed(steps)
            return self.pipeline(
                list(prompts),
                height=resolution,
                width=resolution,
                num_inference_steps=steps,
                generator=generator,
                guidance_scale=0.0,
                latents=noise,
                output_type=output,
            ).images


def unit_noise(source: SourceModel, count: int, resolution: int, seed: int) -> Tensor:
    """Standard normal noise `[count, 4, h, w]`, the same for the same arguments."""
    side = resolution // source.downsampling
    shape = (count, source.configs["vae"]["latent_channels"], side, side)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
