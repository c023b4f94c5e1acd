"""First stage: the autoencoder, on all picture sizes in turn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional

from mixdq.export.emoji_turbo.data import Pixels
from mixdq.export.emoji_turbo.loop import Batch

_LATENT_NOISE = 0.08
"""Noise added to the latents (of unit size) in training: the decoder then forgives the UNet's errors."""
_LOG_VARIANCE = -6.0


class VaeStage:
    """Trains an autoencoder towards sharp pictures and latents of unit size."""

    name = "vae"
    rate = 2e-3
    decay = 0.999

    def __init__(
        self, vae: AutoencoderKL, pictures: Mapping[int, Pixels], batches: Mapping[int, int], seed: int
    ) -> None:
        """Takes `pictures` by size, [picture, size, size, 3] bytes; `batches`: pictures a step by size."""
        self.module: nn.Module = vae
        self._vae = vae
        self._device = vae.device
        self._pictures = {size: torch.from_numpy(p).to(vae.device) for size, p in pictures.items()}
        self._batches, self._seed = batches, seed

    def sizes(self) -> tuple[int, ...]:
        """The picture sizes, in turn."""
        return tuple(sorted(self._pictures))

    def rate_of(self, name: str, parameter: nn.Parameter) -> float:
        """The same for all."""
        return 1.0

    def batch(self, size: int, step: int, rank: int) -> Batch:
        """Pictures and the latents' noise of one step."""
        chosen = choose(len(self._pictures[size]), self._batches[size], (self._seed, 1, step, rank, size))
        shape = (len(chosen), 4, size // 8, size // 8)
        noise = gaussian(shape, (self._seed, 1, step, rank), self._device)
        return {"pictures": self._pictures[size][chosen.to(self._device)], "noise": noise}

    def loss(self, batch: Batch) -> Tensor:
        """The pictures' loss, and the latents' distance from zero mean and unit size."""
        target = to_unit(batch["pictures"])
        with torch.autocast(target.device.type, torch.bfloat16, enabled=target.is_cuda):
            latents = self._vae.encode(target).latent_dist.mode().float()
            made = self._vae.decode(latents + _LATENT_NOISE * batch["noise"]).sample.float()
        size = (
            latents.mean(dim=(0, 2, 3)).square().mean()
            + (latents.square().mean(dim=(0, 2, 3)) - 1).square().mean()
        )
        total: Tensor = picture_loss(made, target) + 0.01 * size
        return total


def finish_vae(vae: AutoencoderKL, pictures: Mapping[int, Pixels]) -> None:
    """Sets the scaling factor (1 / latents' standard deviation) and a small constant variance, in place."""
    with torch.no_grad():
        # The variance's half of the encoder's output was never trained.
        vae.quant_conv.weight[4:] = 0.0
        vae.quant_conv.bias[4:] = _LOG_VARIANCE
        latents = encode_pictures(vae, pictures[min(pictures)], 64)
    vae.register_to_config(scaling_factor=round(1.0 / float(latents.std()), 5))


@torch.no_grad()
def encode_pictures(vae: AutoencoderKL, pictures: Pixels, batch: int) -> Tensor:
    """Unscaled latents' means `[picture, 4, size/8, size/8]` of RGB bytes `[picture, size, size, 3]`."""
    parts = torch.split(torch.from_numpy(pictures), batch)
    return torch.cat([vae.encode(to_unit(p.to(vae.device))).latent_dist.mode() for p in parts])


def to_unit(pictures: Tensor) -> Tensor:
    """RGB bytes, channels last, to [-1, 1] floats, channels first."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def picture_loss(made: Tensor, target: Tensor) -> Tensor:
    """Mean over pictures of the RMS error (what PSNR measures), plus L1, coarser scales and edges."""
    error = made - target
    total = (error.square().mean(dim=(1, 2, 3)) + 1e-6).sqrt().mean() + 0.3 * error.abs().mean()
    total = total + 0.2 * (error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean())
    for scale in (2, 4):
        total = total + 0.2 * functional.avg_pool2d(error, scale).abs().mean()
    return total


def choose(among: int, count: int, seed: tuple[int, ...]) -> Tensor:
    """`count` different indices below `among` (repeating only beyond it), the same for the same seed."""
    random = np.random.default_rng(seed)
    rounds = -(-count // among)
    return torch.from_numpy(np.concatenate([random.permutation(among) for _ in range(rounds)])[:count])


def gaussian(shape: tuple[int, ...], seed: tuple[int, ...], device: torch.device) -> Tensor:
    """Unit noise on `device`, the same for the same seed and kind of device."""
    number = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1)
    generator = torch.Generator(device).manual_seed(number)
    return torch.randn(shape, generator=generator, device=device)
