"""What stages are reckoned to need, against what they write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.legalize import legalize
from mixdq.compiler.needs import Needs
from mixdq.compiler.recipe import Calibration, Recipe
from mixdq.configs.bundle import Component
from mixdq.configs.capability import find_capability
from mixdq.configs.layers import LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.shipped_search import shipped_layers
from mixdq.configs.target import Dialect, Layout, Target
from mixdq.export.source import SourceModel

_PARAMETERS: Mapping[str, int] = {Component.UNET: 15_000_000}


@pytest.fixture(scope="module")
def table() -> LayerTable:
    path = shipped_layers("emoji-turbo")
    assert path is not None
    return LayerTable.read(path)


def _needs(emoji: SourceModel, table: LayerTable, plan: PrecisionPlan) -> Needs:
    recipe = Recipe(
        choice=ModelChoice("emoji-turbo"),
        targets=(Target.parse("rtx:sm89"),),
        resolutions=(128,),
        batch=1,
        plan=plan,
        ranges=Calibration(("owl",), seed=0),
        layout=Layout.PER_RESOLUTION,
        build=BuildOptions(timing_cache=None, strip_weights=False),
    )
    return Needs(recipe, emoji, _PARAMETERS, table)


def _plan(table: LayerTable, precision: Precision) -> PrecisionPlan:
    return uniform_plan(table, precision, keep=(), protect=(), bos_aware=False, split_shortcuts=False)


def test_a_quantized_unet_is_reckoned_in_the_bytes_of_its_forms(
    emoji: SourceModel, table: LayerTable
) -> None:
    weights, channels = sum(layer.weights for layer in table), sum(layer.weight_shape[0] for layer in table)
    others = _PARAMETERS[Component.UNET] - weights
    wish = _plan(table, Precision(4, 16))
    held = _needs(emoji, table, wish).graph_bytes(Component.UNET, Dialect.TENSORRT)
    assert held == weights + 2 * channels + 2 * others
    legal = legalize(wish, table, Rules(find_capability("rtx:sm89"), None, unwritten=False)).plan
    packed = _needs(emoji, table, legal).graph_bytes(Component.UNET, Dialect.TENSORRT)
    assert packed == weights // 2 + 2 * channels + 2 * others
    target = Target.parse("rtx:sm89")
    assert _needs(emoji, table, legal).engine_mib(Component.UNET, target) < _needs(
        emoji, table, wish
    ).engine_mib(Component.UNET, target)


def test_full_precision_is_reckoned_by_the_dialect(emoji: SourceModel, table: LayerTable) -> None:
    needs = _needs(emoji, table, _plan(table, FP16))
    assert needs.graph_bytes(Component.UNET, Dialect.TENSORRT) == 2 * _PARAMETERS[Component.UNET]
    assert needs.graph_bytes(Component.UNET, Dialect.ORT) == 4 * _PARAMETERS[Component.UNET]


def test_layers_that_are_kept_count_in_floating_point(emoji: SourceModel, table: LayerTable) -> None:
    kept = max(table, key=lambda layer: layer.weights)
    every = _plan(table, Precision(8, 8))
    but_one = replace(every, layers={**every.layers, kept.name: FP16})
    sizes = [
        _needs(emoji, table, plan).graph_bytes(Component.UNET, Dialect.TENSORRT) for plan in (every, but_one)
    ]
    assert sizes[1] - sizes[0] == kept.weights - 2 * kept.weight_shape[0]
