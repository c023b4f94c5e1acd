"""A model of six layers, three in each group, and what decides how plans of it were judged."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from mixdq.compiler.allocate.subject import PAPER_WIDTHS, Subject
from mixdq.compiler.search.journal import Conditions
from mixdq.configs.layers import Group, Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.sensitivity import PAPER_METRICS, Metric, Operand, SensitivityTable
from mixdq.export.judgement import Fidelity

WIDTHS = (2, 4, 8)

# Names, shapes, positions of the input at 64 pixels.
_LAYERS = (
    ("conv_in", (8, 4, 3, 3), 64),
    ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q", (8, 8), 16),
    ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", (8, 20), 77),
    ("down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2", (8, 32), 16),
    ("up_blocks.0.resnets.0.conv1", (8, 16, 3, 3), 64),
    ("conv_out", (4, 8, 3, 3), 64),
)


def _layer(name: str, shape: tuple[int, ...], positions: int) -> LayerSpec:
    kind = Kind.LINEAR if len(shape) == 2 else Kind.CONVOLUTION
    bare = LayerSpec(LayerName(name), kind, shape, has_bias=True, split=None, macs={})
    return LayerSpec(bare.name, kind, shape, has_bias=True, split=None, macs={64: positions * bare.weights})


@pytest.fixture(scope="session")
def table() -> LayerTable:
    """Six layers."""
    return LayerTable(ModelIdentity("six", "6" * 64), tuple(_layer(*row) for row in _LAYERS))


def sensitivity_of(table: LayerTable) -> SensitivityTable:
    """Drawn from seed 0; more bits score higher."""
    draw = random.Random(0)
    content = [layer.name for layer in table if layer.group is Group.CONTENT]
    return SensitivityTable(
        model=table.model,
        layers_digest=table.digest,
        measurement=None,
        widths=dict.fromkeys(Operand, WIDTHS),
        scores={
            operand: {
                Metric.SQNR: {
                    layer.name: tuple(sorted(draw.uniform(5, 60) for _ in WIDTHS)) for layer in table
                },
                Metric.SSIM: {name: tuple(sorted(draw.uniform(0.7, 1) for _ in WIDTHS)) for name in content},
            }
            for operand in Operand
        },
    )


MakeSensitivity = Callable[[LayerTable], SensitivityTable]


@pytest.fixture(scope="session")
def make_sensitivity() -> MakeSensitivity:
    """Sensitivities for any layers."""
    return sensitivity_of


@pytest.fixture(scope="session")
def subject(table: LayerTable) -> Subject:
    """The paper's widths; conv_in's activation is protected."""
    protected = frozenset({LayerName("conv_in")})
    return Subject(table, sensitivity_of(table), PAPER_METRICS, PAPER_WIDTHS, 64, protected)


@pytest.fixture
def conditions() -> Conditions:
    """Of a made-up run."""
    return Conditions(
        model_digest="m" * 64,
        layers_digest="l" * 64,
        ranges_digest="r" * 64,
        prompts=32,
        prompts_digest="p" * 64,
        seed=0,
        resolution=64,
        dialect="ort",
        device="cpu",
        threads=1,
        batch=8,
        torch="2",
        code="c" * 64,
    )


@pytest.fixture
def make_fidelity() -> Callable[[float], Fidelity]:
    """Figures of which all are one number."""
    return lambda value: Fidelity(value, value, value, value, value)
