"""The contrastive training (CLIP's: Radford et al. 2021) as a stage of emoji-turbo's training loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mixdq.eval.alignment.captions import CaptionTable, drop_tokens
from mixdq.eval.alignment.network import DualEncoder
from mixdq.eval.alignment.views import vary
from mixdq.export.emoji_turbo.data import Pixels
from mixdq.export.emoji_turbo.loop import Batch

_IMAGE_WEIGHT = 0.5
_VIEWS = 2
# Part of each target that goes to other emoji of the batch, by how much their words overlap: two kinds of
# bird are less wrong for each other than a bird and a bus.
_ALIKE_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is learned from.

    Attributes:
        pictures: RGB bytes `[source, emoji, side, side, 3]`; the first source is the emoji's own picture, the
            others are other artists' or drawn by emoji-turbo.
        mirror: whether each emoji's picture may be mirrored.
        captions: what each emoji may be called.
        alike: how much the emoji's words overlap, `[emoji, emoji]`, 0 for each with itself.
    """

    pictures: Pixels
    mirror: Sequence[bool]
    captions: CaptionTable
    alike: Tensor


class AlignmentStage:
    """Two views and two captions of each emoji of a batch, told from the others of the batch."""

    name = "alignment"
    rate = 1e-3
    decay = 0.998

    def __init__(
        self, model: DualEncoder, pixels: int, lesson: Lesson, emoji: int, token_loss: float, seed: int
    ) -> None:
        """Takes the model on its device.

        Args:
            model: what is trained.
            pixels: each side of the pictures that it sees.
            lesson: pictures and captions.
            emoji: how many a step.
            token_loss: the share of a caption's tokens that it does without.
            seed: of everything random.
        """
        self.module: nn.Module = model
        self._model, self._pixels = model, pixels
        self._device = model.log_scale.device
        self._pictures = torch.from_numpy(lesson.pictures).to(self._device)
        self._mirror = torch.tensor(lesson.mirror, device=self._device)
        self._captions, self._alike = lesson.captions, lesson.alike.to(self._device)
        self._emoji, self._token_loss, self._seed = emoji, token_loss, seed

    def sizes(self) -> tuple[int, ...]:
        """One size."""
        return (self._pixels,)

    def rate_of(self, name: str, parameter: nn.Parameter) -> float:
        """The same for all."""
        return 1.0

    def batch(self, size: int, step: int, rank: int) -> Batch:
        """Pictures `[views * emoji, 3, size, size]` and captions `[views * emoji, tokens]`, view by view."""
        random = np.random.default_rng((self._seed, step, rank))
        sources, count = self._pictures.shape[:2]
        chosen = random.permutation(count)[: self._emoji]
        chosen = np.tile(np.resize(chosen, self._emoji), _VIEWS)
        source = random.integers(sources, size=len(chosen))
        # Every second picture is the emoji's own.
        source[random.random(len(chosen)) < 0.5] = 0
        places = torch.from_numpy(chosen)
        generator = torch.Generator(self._device).manual_seed(int(random.integers(2**62)))
        own = self._pictures[torch.from_numpy(source).to(self._device), places.to(self._device)]
        return {
            "pictures": vary(own, self._mirror[places.to(self._device)], size, generator),
            **self._drawn_captions(places, random),
            "targets": self._targets(places[: self._emoji].to(self._device)),
        }

    def _drawn_captions(self, places: Tensor, random: np.random.Generator) -> Batch:
        table = self._captions
        which = torch.from_numpy(random.choice(len(table.chances), len(places), p=table.chances))
        ids, present = table.ids[places, which], table.present[places, which]
        kept = drop_tokens(ids, present, self._token_loss, random)
        return {"ids": ids.to(self._device), "present": kept.to(self._device)}

    def _targets(self, places: Tensor) -> Tensor:
        """What each picture's softmax over the batch should be, `[emoji, emoji]`; symmetric but for scale."""
        alike = self._alike[places][:, places]
        total = alike.sum(dim=1, keepdim=True)
        share = _ALIKE_SHARE * (total > 0)
        own = torch.eye(len(places), device=places.device)
        return (1 - share) * own + share * alike / total.clamp(min=1e-6)

    def loss(self, batch: Batch) -> Tensor:
        """Both directions between pictures and captions, view by view, and the two views of each picture."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            images = self._model.image(batch["pictures"])
            texts = self._model.text(batch["ids"], batch["present"])
        one, other = images.chunk(_VIEWS)
        pairs = sum(
            self._contrast(image, text, batch["targets"])
            for image, text in zip((one, other), texts.chunk(_VIEWS), strict=True)
        )
        total: Tensor = pairs / _VIEWS + _IMAGE_WEIGHT * self._contrast(one, other, batch["targets"])
        return total

    def _contrast(self, left: Tensor, right: Tensor, targets: Tensor) -> Tensor:
        similar = self._model.scale * left @ right.T
        both = functional.cross_entropy(similar, targets) + functional.cross_entropy(similar.T, targets)
        return both / 2
