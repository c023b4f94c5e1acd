"""A model of eight layers, four in each group, with sensitivities that are drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from mixdq.configs.layers import Group, Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.sensitivity import Metric, Operand, SensitivityTable

WIDTHS = (2, 4, 8)
SIDE = 64
_BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
_LAYERS: Mapping[str, tuple[tuple[int, ...], int]] = {
    "conv_in": ((8, 4, 3, 3), 64),
    f"{_BLOCK}.attn1.to_q": ((8, 8), 16),
    f"{_BLOCK}.attn2.to_q": ((8, 8), 16),
    f"{_BLOCK}.attn2.to_k": ((8, 20), 77),
    f"{_BLOCK}.ff.net.0.proj": ((64, 8), 16),
    f"{_BLOCK}.ff.net.2": ((8, 32), 16),
    "up_blocks.0.resnets.0.conv1": ((8, 16, 3, 3), 64),
    "conv_out": ((4, 8, 3, 3), 64),
}
"""Shapes, and positions of the input at 64 pixels."""


def _layer(name: str, shape: tuple[int, ...], positions: int) -> LayerSpec:
    kind = Kind.LINEAR if len(shape) == 2 else Kind.CONVOLUTION
    weights = LayerSpec(LayerName(name), kind, shape, has_bias=True, split=None, macs={}).weights
    return LayerSpec(
        LayerName(name), kind, shape, has_bias=True, split=None, macs={SIDE: positions * weights}
    )


@pytest.fixture(scope="session")
def layers() -> LayerTable:
    """Eight layers, four in each group."""
    return LayerTable(
        ModelIdentity("eight", "e" * 64), tuple(_layer(name, *rest) for name, rest in _LAYERS.items())
    )


@pytest.fixture
def sensitivity(layers: LayerTable) -> SensitivityTable:
    """More bits score higher; by SQNR the content layers' activations are the four most sensitive ones."""
    draw = random.Random(0)
    scores: dict[Operand, dict[Metric, dict[LayerName, tuple[float, ...]]]] = {}
    for operand in Operand:
        scores[operand] = {Metric.SQNR: {}, Metric.SSIM: {}}
        for layer in layers:
            low, high = (5, 20) if layer.group is Group.CONTENT else (30, 60)
            sqnr = sorted(draw.uniform(low, high) for _ in WIDTHS)
            scores[operand][Metric.SQNR][layer.name] = tuple(sqnr)
            if layer.group is Group.CONTENT:
                scores[operand][Metric.SSIM][layer.name] = tuple(sorted(draw.random() for _ in WIDTHS))
    return SensitivityTable(
        model=layers.model,
        layers_digest=layers.digest,
        measurement=None,
        widths=dict.fromkeys(Operand, WIDTHS),
        scores=scores,
    )
