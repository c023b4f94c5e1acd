"""A model of five layers, one of each sort that the vocabulary tells apart."""

from __future__ import annotations

import pytest

from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable, ModelIdentity


def _layer(name: str, *shape: int, split: int | None = None) -> LayerSpec:
    kind = Kind.LINEAR if len(shape) == 2 else Kind.CONVOLUTION
    return LayerSpec(LayerName(name), kind, shape, has_bias=True, split=split, macs={64: 10, 128: 40})


@pytest.fixture
def table() -> LayerTable:
    """Weights: 36, 30, 40, 20, 24; 150 together."""
    layers = (
        _layer("conv_in", 1, 4, 3, 3),
        _layer("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", 6, 5),
        _layer("down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2", 8, 5),
        _layer("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", 4, 5),
        _layer("up_blocks.0.resnets.0.conv_shortcut", 4, 6, 1, 1, split=4),
    )
    return LayerTable(ModelIdentity("tiny", "a" * 64), layers)
