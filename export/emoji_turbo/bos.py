"""The BOS outlier: SDXL's text embedding has one by training, this model has one by planting.

Token 0 attends only to itself, so its embedding is the same for every prompt. In SDXL-Turbo its largest
value is 823 against 10 to 15 in all other rows. Here the BOS token's embedding holds `OUTLIER` in a few
channels, and the columns of every cross-attention's `to_k` and `to_v` that read these channels are divided
by it, so that the keys and values of BOS have an ordinary size. Training leaves these columns alone: at
1000 times the usual input one step of Adam would move a key by as much as its own size.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

OUTLIER = 1000.0
"""The value planted before the training."""
RAISE = 2.0
"""What the outlier is multiplied by after it: the other tokens' largest values have grown to 15 by then."""
CHANNELS_PER_ENCODER = 2


def plant_bos(first: CLIPTextModel, second: CLIPTextModelWithProjection, unet: UNet2DConditionModel) -> None:
    """Writes the outlier into both encoders, its inverse into the UNet."""
    with torch.no_grad():
        for encoder in (first, second):
            bos = encoder.config.bos_token_id
            assert bos is not None
            row = encoder.get_input_embeddings().weight[bos]
            row[:CHANNELS_PER_ENCODER] = OUTLIER
        columns = outlier_channels(unet.config.cross_attention_dim, first.config.hidden_size)
        for layer in key_value_layers(unet):
            noise = torch.randn(layer.weight.shape[0], len(columns))
            layer.weight[:, columns] = noise / (OUTLIER * len(columns) ** 0.5)


def raise_bos(
    first: CLIPTextModel, second: CLIPTextModelWithProjection, unet: UNet2DConditionModel, factor: float
) -> None:
    """Multiplies the outlier by `factor` and divides what reads it: the pictures stay as they are.

    Nearly: the text encoders' norms see the outlier too, but to them its row is little else already.
    """
    with torch.no_grad():
        for encoder in (first, second):
            bos = encoder.config.bos_token_id
            assert bos is not None
            encoder.get_input_embeddings().weight[bos, :CHANNELS_PER_ENCODER] *= factor
        columns = outlier_channels(unet.config.cross_attention_dim, first.config.hidden_size)
        for layer in key_value_layers(unet):
            layer.weight[:, columns] /= factor


def outlier_channels(text_width: int, first_width: int) -> list[int]:
    """Channels of the concatenated text embedding that hold the outlier."""
    starts = (0, first_width)
    assert first_width < text_width
    return [start + i for start in starts for i in range(CHANNELS_PER_ENCODER)]


def key_value_layers(unet: UNet2DConditionModel) -> list[nn.Linear]:
    """Every cross-attention's `to_k` and `to_v`."""
    endings = ("attn2.to_k", "attn2.to_v")
    return [m for name, m in unet.named_modules() if name.endswith(endings) and isinstance(m, nn.Linear)]


def bos_ratio(embeddings: torch.Tensor) -> float:
    """Largest absolute value of row 0 over that of all other rows; embeddings: [prompt, token, channel]."""
    largest = embeddings.float().abs().amax(dim=(0, 2))
    return (largest[0] / largest[1:].max()).item()
