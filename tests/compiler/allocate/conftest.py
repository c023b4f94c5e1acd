"""A model of eight layers, four in each group, with sensitivities that are drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from mixdq.compiler.allocate.subject import PAPER_WIDTHS, Subject
from mixdq.configs.layers import Group, Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.sensitivity import PAPER_METRICS, Metric, Operand, SensitivityTable

WIDTHS = (2, 4, 8)
_BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"

# Names, shapes, positions of the input at 64 pixels.
_LAYERS = (
    ("conv_in", (8, 4, 3, 3), 64),
    (f"{_BLOCK}.attn1.to_q", (8, 8), 16),
    (f"{_BLOCK}.attn2.to_q", (8, 8), 16),
    (f"{_BLOCK}.attn2.to_k", (8, 20), 77),
    (f"{_BLOCK}.ff.net.0.proj", (64, 8), 16),
    (f"{_BLOCK}.ff.net.2", (8, 32), 16),
    ("up_blocks.0.resnets.0.conv1", (8, 16, 3, 3), 64),
    ("conv_out", (4, 8, 3, 3), 64),
)


def _layer(name: str, shape: tuple[int, ...], positions: int) -> LayerSpec:
    kind = Kind.LINEAR if len(shape) == 2 else Kind.CONVOLUTION
    layer = LayerSpec(LayerName(name), kind, shape, has_bias=True, split=None, macs={})
    return LayerSpec(layer.name, kind, shape, has_bias=True, split=None, macs={64: positions * layer.weights})


@pytest.fixture(scope="session")
def layers() -> LayerTable:
    """Eight layers, four in each group."""
    return LayerTable(ModelIdentity("eight", "e" * 64), tuple(_layer(*row) for row in _LAYERS))


def make_sensitivity(table: LayerTable, seed: int = 0) -> SensitivityTable:
    """More bits score higher; SSIM below 1, SQNR up to some 60 dB."""
    draw = random.Random(seed)
    names = [layer.name for layer in table]
    content = [layer.name for layer in table if layer.group is Group.CONTENT]
    return SensitivityTable(
        model=table.model,
        layers_digest=table.digest,
        measurement=None,
        widths=dict.fromkeys(Operand, WIDTHS),
        scores={
            operand: {
                Metric.SQNR: {name: tuple(sorted(draw.uniform(5, 60) for _ in WIDTHS)) for name in names},
                Metric.SSIM: {name: tuple(sorted(draw.uniform(0.7, 1) for _ in WIDTHS)) for name in content},
            }
            for operand in Operand
        },
    )


@pytest.fixture(scope="session")
def sensitivity(layers: LayerTable) -> SensitivityTable:
    """Of seed 0."""
    return make_sensitivity(layers)


MakeSubject = Callable[[int], Subject]


@pytest.fixture
def make_subject(layers: LayerTable) -> MakeSubject:
    """The paper's widths; conv_in's activation is protected; sensitivities of a seed."""

    def make(seed: int) -> Subject:
        protected = frozenset({LayerName("conv_in")})
        return Subject(layers, make_sensitivity(layers, seed), PAPER_METRICS, PAPER_WIDTHS, 64, protected)

    return make


@pytest.fixture
def subject(make_subject: MakeSubject) -> Subject:
    """Of seed 0."""
    return make_subject(0)
