"""How large synthetic weights are: by what a tensor does in SDXL's networks.

A layer's weights have variance gain / fan-in. With inputs of mean square m the outputs' variance is gain * m:
m is 1 after a norm, 0.36 after a norm and SiLU, 0.43 after a norm and GELU (also after GEGLU).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_AFTER_SILU = 1 / 0.36
_AFTER_GELU = 1 / 0.43
_RESIDUAL = 0.09
"""Variance that a residual branch adds, of a stream that starts at 1: it grows, as in trained models."""
_TEXT_RESIDUAL = 0.0225
_SCALED_LATENT = 0.13**2
"""The VAE's latents are divided by their scaling factor."""

BOS_OUTLIER = 800.0
OUTLIER_CHANNELS = (5, 17, 42, 61)
"""Where the first token of SDXL's text embedding is an outlier: here channels of the first text encoder."""


@dataclass(frozen=True, slots=True)
class Role:
    """The distribution of a tensor's values."""

    mean: float
    std: float


# The first expression that is found in the name gives the gain; of anything else it is 1.
_GAINS: dict[str, tuple[tuple[str, float], ...]] = {
    "unet": (
        (r"resnets\.\d+\.conv2", _RESIDUAL * _AFTER_SILU),
        (r"\.conv1|time_emb_proj|linear_2|^conv_out", _AFTER_SILU),
        (r"ff\.net\.2", _RESIDUAL * _AFTER_GELU),
        (r"to_out\.0|proj_out", _RESIDUAL),
        (r"linear_1", 2.0),
    ),
    "vae": (
        (r"resnets\.\d+\.conv2", _RESIDUAL * _AFTER_SILU),
        (r"\.conv1", _AFTER_SILU),
        (r"^post_quant_conv", _SCALED_LATENT),
        (r"^decoder\.conv_out", 0.16 * _AFTER_SILU),  # pictures lie in about [-1, 1]
        (r"to_out\.0", _RESIDUAL),
    ),
    "text_encoder": (
        (r"mlp\.fc2", _TEXT_RESIDUAL * _AFTER_GELU),
        (r"out_proj", _TEXT_RESIDUAL),
    ),
}
_EMBEDDING_STD = {"token_embedding": 0.7, "position_embedding": 0.3}


def role_of(component: str, name: str, shape: tuple[int, ...]) -> Role:
    """The distribution of one tensor, by its canonical name and shape."""
    if len(shape) <= 1:
        is_norm = "norm" in name
        return Role(1.0 if is_norm and name.endswith("weight") else 0.0, 0.05 if is_norm else 0.02)
    for part, std in _EMBEDDING_STD.items():
        if part in name:
            return Role(0.0, std)
    rules = _GAINS.get(component.removesuffix("_2"), ())
    gain = next((gain for rule, gain in rules if re.search(rule, name)), 1.0)
    return Role(0.0, math.sqrt(gain / math.prod(shape[1:])))


def holds_bos_row(component: str, name: str) -> bool:
    """Whether a tensor's last row but one embeds the BOS token, which is made an outlier."""
    return component == "text_encoder" and "token_embedding" in name


def reads_outlier(component: str, name: str) -> bool:
    """Whether a tensor's columns read the outlier: made small, as training makes them."""
    return component == "unet" and re.search(r"attn2\.to_[kv]\.", name) is not None
