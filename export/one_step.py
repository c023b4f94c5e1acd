"""The model's one denoising step over fixed prompts and noise: what quantized models are judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixdq.configs.errors import ModelError
from mixdq.export.one_step_size import decoded_at_once
from mixdq.export.reference import ReferencePipeline, unit_noise
from mixdq.export.source import SourceModel


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of the prompts, and what full precision makes of them.

    Attributes:
        sample: the UNet's input `[B, 4, h, w]`, scaled.
        conditions: its other arguments by name, text and sizes; `[B, ...]` each.
        timestep: `[]`.
        noisy: the sampler's sample `[B, 4, h, w]`, not scaled.
        prediction: the UNet's output `[B, 4, h, w]`.
        latents: x0, the sampler's result `[B, 4, h, w]`.
        images: `[B, 3, H, W]`, 0 to 1.
    """

    sample: Tensor
    conditions: Mapping[str, Any]
    timestep: Tensor
    noisy: Tensor
    prediction: Tensor
    latents: Tensor
    images: Tensor

    def __len__(self) -> int:
        return len(self.sample)


class OneStep:
    """A model on a device with the text embeddings, noise and full-precision results of fixed prompts.

    Prompt i starts from the noise of seed + i alone, so results do not depend on the batches but for the
    arithmetic's rounding.
    """

    def __init__(
        self,
        source: SourceModel,
        prompts: Sequence[str],
        *,
        seed: int,
        resolution: int,
        batch: int,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        compile_decoder: bool = False,
    ) -> None:
        """Loads the whole model and runs the prompts in full precision.

        Args:
            source: the checked model.
            prompts: at least one.
            seed: of the first prompt's noise.
            resolution: pixels.
            batch: prompts that are computed together.
            device: torch's name of it.
            dtype: what text encoders and UNet compute in; the VAE computes in the choice's `vae_precision`.
            compile_decoder: whether `torch.compile` compiles the VAE's decoder, which takes a minute and pays
                for thousands of pictures on a GPU. The pictures of full precision are decoded by it too.

        Raises:
            RequestError: a resolution that the model can't make.
            ModelError: no prompts, or results that are not finite.
        """
        if not prompts:
            raise ModelError("no prompts were given to run; the prompt file is empty")
        source.check_resolution(resolution)
        vae_dtype = getattr(torch, source.choice.vae_precision)
        self._pipeline = ReferencePipeline(
            source, streamed=False, dtype=dtype, vae_dtype=vae_dtype, device=device
        )
        self._device = device
        self._decoded_at_once = decoded_at_once(resolution, device)
        vae = self._pipeline.pipeline.vae
        if device != "cpu":
            # cuDNN's fast kernels are channels last; else it copies every activation of the VAE twice.
            vae.to(memory_format=torch.channels_last)
        if compile_decoder:
            vae.decoder = torch.compile(vae.decoder, dynamic=False, options={"deterministic": True})
        self.batches = tuple(
            self._first(prompts[start : start + batch], source, seed + start, resolution)
            for start in range(0, len(prompts), batch)
        )

    @property
    def unet(self) -> nn.Module:
        """The UNet, to be changed and changed back."""
        unet: nn.Module = self._pipeline.unet
        return unet

    def predict(self, batch: Batch, copies: int = 1) -> Tensor:
        """The UNet's output `[copies B, 4, h, w]` on the batch, repeated as a whole."""
        with torch.inference_mode():
            conditions = {name: repeated(value, copies) for name, value in batch.conditions.items()}
            output: Tensor = self.unet(
                repeated(batch.sample, copies), batch.timestep, **conditions, return_dict=False
            )[0]
        return output

    def latents(self, batch: Batch, prediction: Tensor) -> Tensor:
        """x0 `[copies B, 4, h, w]` that follows from predictions of that shape."""
        scheduler = self._pipeline.pipeline.scheduler
        scheduler.set_timesteps(1, device=self._device)
        noisy = batch.noisy.repeat(len(prediction) // len(batch), 1, 1, 1)
        generator = torch.Generator().manual_seed(0)
        result: Tensor = scheduler.step(
            prediction, batch.timestep, noisy, generator=generator, return_dict=False
        )[0]
        return result

    def images(self, latents: Tensor) -> Tensor:
        """The pictures `[B, 3, H, W]` of latents `[B, 4, h, w]`, 0 to 1, on the device."""
        vae = self._pipeline.pipeline.vae
        scaled = latents.to(vae.dtype) / vae.config.scaling_factor
        with torch.inference_mode():
            decoded = [vae.decode(part, return_dict=False)[0] for part in scaled.split(self._decoded_at_once)]
        return (torch.cat(decoded).float() / 2 + 0.5).clamp(0, 1)

    def _first(self, prompts: Sequence[str], source: SourceModel, seed: int, resolution: int) -> Batch:
        noise = torch.cat([unit_noise(source, 1, resolution, seed + i) for i in range(len(prompts))])
        with _Capture(self.unet) as seen:
            latents = self._pipeline.latents(prompts, noise.to(self._device), resolution)
        sample, timestep = seen.arguments
        conditions = {name: value for name, value in seen.named.items() if name in _CONDITIONS}
        sigma = self._pipeline.pipeline.scheduler.init_noise_sigma
        noisy = noise.to(device=self._device, dtype=sample.dtype) * sigma
        images = self.images(latents)
        for what, values in (("prediction", seen.output), ("pictures", images)):
            if not bool(torch.isfinite(values).all()):
                raise ModelError(
                    f"the full-precision {what} of {source.identity.name} hold NaN or infinity in "
                    f"{sample.dtype}, where finite values were expected; compute in float32, or use an "
                    "FP16-safe VAE"
                )
        return Batch(sample, conditions, timestep, noisy, seen.output, latents, images)


_CONDITIONS = ("encoder_hidden_states", "added_cond_kwargs", "timestep_cond")


def repeated(value: Any, copies: int) -> Any:
    """A tensor, or tensors in tuples and mappings, `copies` times behind each other along the batch."""
    if copies == 1 or value is None:
        return value
    if isinstance(value, Tensor):
        return value.repeat(copies, *(1,) * (value.ndim - 1))
    if isinstance(value, Mapping):
        return {name: repeated(part, copies) for name, part in value.items()}
    assert isinstance(value, tuple | list)
    return tuple(repeated(part, copies) for part in value)


class _Capture:
    """What a module was called with, and what it gave."""

    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    output: Tensor

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def __enter__(self) -> _Capture:
        self._hook = self._module.register_forward_hook(self._see, with_kwargs=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _see(self, _: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any], output: Any) -> None:
        self.arguments, self.named, self.output = arguments, named, output[0]
