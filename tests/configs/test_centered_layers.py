"""Which quantizers the layers of a plan with centres have in each dialect: also those of the simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import uniform_plan
from mixdq.configs.precision import FP8, Precision
from mixdq.configs.quantizer import activation_quantizer, fp8_quantizer
from mixdq.configs.quantizing import Activations
from mixdq.configs.ranges import Range
from mixdq.configs.realized import RealizedLayer
from mixdq.configs.target import Dialect

VALUES = Range(-0.25, 3.0)


def _layer(
    table: LayerTable, name: str, precision: Precision, activations: Activations, dialect: Dialect
) -> RealizedLayer:
    plain = uniform_plan(table, precision, keep=(), protect=(), bos_aware=True, split_shortcuts=True)
    layer = next(layer for layer in table if layer.name.endswith(name))
    return RealizedLayer.of(replace(plain, activations=activations), layer, dialect)


@pytest.mark.parametrize(
    ("name", "activations", "symmetric"),
    [
        ("to_q", Activations.PLAIN, True),
        ("to_q", Activations.CENTERED, False),
        ("conv_shortcut", Activations.CENTERED, False),
        ("conv_in", Activations.CENTERED, True),
        ("conv_in", Activations.CENTERED_PADDED, False),
    ],
)
def test_a_centred_layer_is_asymmetric_with_scales_of_the_graphs_type(
    table: LayerTable, name: str, activations: Activations, symmetric: bool
) -> None:
    layer = _layer(table, name, Precision(8, 8), activations, Dialect.TENSORRT)
    (found,) = layer.activations((VALUES,))
    assert found == activation_quantizer(VALUES, 8, symmetric=symmetric, scale_type="float16")
    assert (found.zero_point == 0) == symmetric
    assert np.float16(found.scale) == found.scale
    assert layer.centered != symmetric


@pytest.mark.parametrize("activations", list(Activations))
def test_where_zero_points_are_taken_nothing_is_centred(table: LayerTable, activations: Activations) -> None:
    layer = _layer(table, "conv_in", Precision(8, 8), activations, Dialect.ORT)
    assert not layer.centered
    asymmetric = activation_quantizer(VALUES, 8, symmetric=False, scale_type="float32")
    assert layer.activations((VALUES,)) == (asymmetric,)


def test_numbers_of_e4m3_are_not_centred(table: LayerTable) -> None:
    layer = _layer(table, "to_q", FP8, Activations.CENTERED, Dialect.TENSORRT)
    assert layer.activations((VALUES,)) == (fp8_quantizer(VALUES, scale_type="float16"),)
