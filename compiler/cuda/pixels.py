"""The VAE's decoder up to the bytes of a picture: 3 MB to the host at 1024 pixels instead of 12.6."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEVELS = 255


class PixelDecoder(nn.Module):
    """Latents to RGB pictures of 8 bits; what a decoder gives beyond [-1, 1] is clipped."""

    def __init__(self, decoder: nn.Module) -> None:
        """Takes a decoder that gives FP32 `[B, 3, H, W]`, in about [-1, 1]."""
        super().__init__()
        self.decoder = decoder

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Latents `[B, 4, h, w]` to UINT8 `[B, H, W, 3]`, and whether all values were finite, `[B]`.

        Byte by byte what `runtime/images.py` makes of the decoder's values; 0 where one is no number.
        """
        # In the order of their memory, which is channels last.
        images = self.decoder(latents).permute(0, 2, 3, 1)
        finite = images.isfinite().flatten(1).all(1)
        levels = (images / 2 + 0.5).clamp(0, 1) * _LEVELS
        # What a cast of NaN to an integer gives is not defined.
        return levels.nan_to_num().round().to(torch.uint8).contiguous(), finite
