"""emoji-turbo at 64 pixels on three prompts, its layers and their ranges."""

from __future__ import annotations

import pytest

from mixdq.configs.layers import LayerTable
from mixdq.configs.ranges import RangeTable
from mixdq.export.calibrate import calibrate
from mixdq.export.layers import list_layers
from mixdq.export.one_step import OneStep
from mixdq.export.source import SourceModel

PROMPTS = ("red apple", "sleepy cat", "rocket")


@pytest.fixture(scope="package")
def run(emoji: SourceModel) -> OneStep:
    """Two prompts at once, and one alone; whoever changes the UNet changes it back."""
    return OneStep(emoji, PROMPTS, seed=7, resolution=64, batch=2)


@pytest.fixture(scope="package")
def table(emoji: SourceModel) -> LayerTable:
    """The model's layers."""
    return list_layers(emoji, [64])


@pytest.fixture(scope="package")
def ranges(emoji: SourceModel, table: LayerTable) -> RangeTable:
    """Over the same prompts."""
    return calibrate(emoji, table, prompts=PROMPTS, seed=0, resolutions=[64], steps=1, advance=lambda _: None)
