"""The model in torch: what calibration observes and what engines and their pictures are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mixdq.configs.bundle import Component
from mixdq.export.modules import load_module, stream_module
from mixdq.export.source import SourceModel


class ReferencePipeline:
    """diffusers' own SDXL pipeline on the model's weights, guidance off."""

    def __init__(
        self,
        source: SourceModel,
        *,
        streamed: bool,
        dtype: torch.dtype = torch.float32,
        vae_dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> None:
        """Opens the model, by default in FP32 on the CPU.

        Args:
            source: the checked model.
            streamed: whether layers read their weights when they run (see `stream_module`), so that SDXL fits
                into 4 GB; on the CPU only. Else the whole model is loaded.
            dtype: what the text encoders and the UNet compute in.
            vae_dtype: what the VAE computes in.
            device: torch's name of it.
        """
        # Imported here, after mixdq.export.modules has silenced transformers' notes on torchvision.
        import diffusers
        from diffusers import StableDiffusionXLPipeline
        from transformers import CLIPTokenizer

        # It would tell of every prompt that is longer than 77 tokens.
        diffusers.utils.logging.set_verbosity_error()
        config = dict(source.configs["scheduler"])
        load = stream_module if streamed else load_module
        dtypes = dict.fromkeys(Component, dtype) | {Component.VAE_DECODER: vae_dtype}
        modules: dict[Component, Any] = {
            component: load(source, component, dtypes[component]).to(device) for component in Component
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

    def latents(
        self,
        prompts: Sequence[str],
        noise: Tensor,
        resolution: int,
        steps: int = 1,
        *,
        fresh: Callable[[], Tensor] | None = None,
    ) -> Tensor:
        """From unit noise `[B, 4, h, w]` to latents `[B, 4, h, w]`, by default in one step.

        Args:
            prompts: B of them.
            noise: where the pictures start.
            resolution: pixels of each side.
            steps: denoising steps.
            fresh: gives the unit noise `[B, 4, h, w]` that an ancestral sampler adds after a step; None for
                noise of its own, the same for the same number of steps.
        """
        generator = torch.Generator().manual_seed(steps)
        with torch.no_grad(), nullcontext() if fresh is None else _FreshNoise(fresh):
            latents: Tensor = self.pipeline(
                list(prompts),
                height=resolution,
                width=resolution,
                num_inference_steps=steps,
                generator=generator,
                guidance_scale=0.0,
                latents=noise.to(self.unet.dtype),
                output_type="latent",
            ).images
        return latents

    def decode(self, latents: Tensor) -> npt.NDArray[np.float32]:
        """The images `[B, 3, H, W]` of latents `[B, 4, h, w]`, in about [-1, 1]."""
        vae = self.pipeline.vae
        with torch.no_grad():
            scaled = latents.to(vae.dtype) / vae.config.scaling_factor
            images: Tensor = vae.decode(scaled, return_dict=False)[0]
        array: npt.NDArray[np.float32] = images.float().cpu().numpy()
        return array


class _FreshNoise(TorchFunctionMode):
    """While it is entered, `torch.randn` gives what a function draws.

    diffusers' samplers take a generator and no noise, and draw with `torch.randn` alone.
    """

    def __init__(self, draw: Callable[[], Tensor]) -> None:
        super().__init__()
        self._draw = draw

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func is not torch.randn:
            return func(*args, **named)
        noise = self._draw()
        assert tuple(args[0]) == tuple(noise.shape)
        return noise.to(device=named["device"], dtype=named["dtype"])


def unit_noise(source: SourceModel, count: int, resolution: int, seed: int) -> Tensor:
    """Standard normal noise `[count, 4, h, w]`, the same for the same arguments."""
    side = resolution // source.downsampling
    shape = (count, source.configs["vae"]["latent_channels"], side, side)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
