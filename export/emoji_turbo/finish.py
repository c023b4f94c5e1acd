"""Third stage: UNet, text encoders and the autoencoder's decoder together, towards the pictures' pixels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from mixdq.export.emoji_turbo.architecture import Generator
from mixdq.export.emoji_turbo.data import Pixels
from mixdq.export.emoji_turbo.loop import Batch
from mixdq.export.emoji_turbo.unet import GeneratorStage, Lesson, frozen_elements
from mixdq.export.emoji_turbo.vae import choose, picture_loss, to_unit

_LATENT_WEIGHT = 0.1


class FinishStage(GeneratorStage):
    """Trains what the pipeline runs, end to end; the encoder stays as it is."""

    name = "finish"
    rate = 3e-4
    decay = 0.998

    def __init__(
        self,
        generator: Generator,
        vae: AutoencoderKL,
        lesson: Lesson,
        pictures: Mapping[int, Pixels],
        batches: Mapping[int, int],
        seed: int,
    ) -> None:
        """Takes generator and autoencoder on the same device."""
        super().__init__(generator, lesson, batches, seed)
        self._vae, self._factor = vae, vae.config.scaling_factor
        self._pictures = {size: torch.from_numpy(some).to(self._device) for size, some in pictures.items()}
        parts = {"generator": generator, "decoder": vae.decoder, "post_quant_conv": vae.post_quant_conv}
        self.module = nn.ModuleDict(parts)
        self._frozen = {f"generator.{name}": factor for name, factor in frozen_elements(generator).items()}

    def batch(self, size: int, step: int, rank: int) -> Batch:
        """As in the second stage, and the pictures."""
        batch = super().batch(size, step, rank)
        chosen = choose(len(self._ids), self._batches[size], (self._seed, 2, step, rank))
        return {**batch, "pictures": self._pictures[size][chosen.to(self._device)]}

    def loss(self, batch: Batch) -> Tensor:
        """The pictures' loss of the first stage, and a little of the latents'. The generator runs in FP32."""
        made = self._step(batch["ids"], batch["ids_2"], batch["noise"])
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            pictures = self._vae.decode(made / self._factor).sample.float()
        latents = (made - batch["latents"]).square().mean(dim=(1, 2, 3)).add(1e-6).sqrt().mean()
        return picture_loss(pictures, to_unit(batch["pictures"])) + _LATENT_WEIGHT * latents
