"""Layers of both kinds, some of whose inputs no block divides, and a shortcut that is split."""

from __future__ import annotations

import pytest

from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable, ModelIdentity

_BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"

# Names, shapes, positions of the input at 64 pixels, channels of the first half.
_LAYERS: tuple[tuple[str, tuple[int, ...], int, int | None], ...] = (
    ("conv_in", (8, 4, 3, 3), 64, None),
    (f"{_BLOCK}.attn1.to_q", (32, 128), 16, None),
    (f"{_BLOCK}.attn1.to_out.0", (7, 9), 16, None),
    (f"{_BLOCK}.attn2.to_k", (32, 96), 77, None),
    (f"{_BLOCK}.ff.net.0.proj", (64, 32), 16, None),
    (f"{_BLOCK}.ff.net.2", (8, 64), 16, None),
    ("up_blocks.0.resnets.0.conv_shortcut", (8, 16, 1, 1), 64, 8),
    ("conv_out", (4, 8, 3, 3), 64, None),
)


def _layer(name: str, shape: tuple[int, ...], positions: int, split: int | None) -> LayerSpec:
    kind = Kind.LINEAR if len(shape) == 2 else Kind.CONVOLUTION
    weights = 1
    for size in shape:
        weights *= size
    return LayerSpec(LayerName(name), kind, shape, has_bias=True, split=split, macs={64: positions * weights})


@pytest.fixture(scope="session")
def layers() -> LayerTable:
    """Eight layers."""
    return LayerTable(ModelIdentity("eight", "e" * 64), tuple(_layer(*row) for row in _LAYERS))
