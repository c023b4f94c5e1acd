"""Pictures as CLIP and ImageReward see them: resized, cropped, normalized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL.Image import Image, Resampling

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and deviation of OpenAI's training pictures, by channel, with white as 1."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """Resize the shorter side with Pillow's bicubic filter, crop the middle, subtract the mean, divide.

    The same as open_clip's (`resize_mode` shortest) on RGB pictures, to the last bit of the pixels.

    Attributes:
        size: pixels of a side of the result.
        mean: by channel.
        std: by channel.
    """

    size: int
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    def tensor(self, images: Sequence[Image]) -> torch.Tensor:
        """The pictures, FP32 [N,3,size,size]; those of other modes are made RGB first."""
        pixels = np.stack([np.asarray(self._square(image.convert("RGB"))) for image in images])
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std

    def _square(self, image: Image) -> Image:
        width, height = image.size
        shorter = min(width, height)
        # The longer side is rounded down and the crop's corner to even, as torchvision does.
        resized = image.resize(
            (int(self.size * width / shorter), int(self.size * height / shorter)), Resampling.BICUBIC
        )
        left, top = (round((side - self.size) / 2) for side in resized.size)
        return resized.crop((left, top, left + self.size, top + self.size))
