from __future__ import annotations

from typing import Any

import pytest

from mixdq.compiler.lint.activation_fusion import pair_between_layer_and_activation

# SiLU behind a convolution, and a convolution that reads it.
_GRAPH = """g (float[1,2,2,2] x) => (float[1,2,2,2] y)
<float[2,2,1,1] w = {1, 2, 3, 4}, float[2,1,1] bias = {1, 2}, float[1,2,2,2] time,
 float s = {0.5}, int8 p = {0}> {
    ["conv1"] a = Conv (x, w)
    ["q"] q = QuantizeLinear (a, s, p)
    d = DequantizeLinear (q, s, p)
    ["silu"] gate = Sigmoid (d)
    b = Mul (d, gate)
    ["conv2"] y = Conv (b, w)
}"""
_FOUND = [("q", "stands between conv1 and its activation silu (Sigmoid)")]


def test_a_pair_between_a_convolution_and_its_activation_is_found(look: Any) -> None:
    assert look(pair_between_layer_and_activation, _GRAPH) == _FOUND


def test_a_bias_is_part_of_the_layer(look: Any) -> None:
    graph = _GRAPH.replace('["q"] q = QuantizeLinear (a', 'c = Add (bias, a)\n["q"] q = QuantizeLinear (c')
    assert look(pair_between_layer_and_activation, graph) == _FOUND


def test_half_of_a_gated_product_is_found(look: Any) -> None:
    graph = _GRAPH.replace("Sigmoid (d)", "Gelu (right)")
    graph = graph.replace('["silu"]', 'left, right = Split <axis = 1, num_outputs = 2> (d)\n["silu"]')
    assert look(pair_between_layer_and_activation, graph) == [
        ("q", "stands between conv1 and its activation silu (Gelu)")
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Sigmoid (d)\n    b = Mul (d, gate)", "Sigmoid (a)\n    b = Mul (a, d)"),
        ('["q"] q = QuantizeLinear (a', 'c = Add (a, time) ["q"] q = QuantizeLinear (c'),
        ('["q"] q = QuantizeLinear (a', 'c = Softmax (a) ["q"] q = QuantizeLinear (c'),
        ("Conv (x, w)", "Relu (x)"),
    ],
    ids=["only a layer reads it", "the time is added", "a norm between", "no layer before"],
)
def test_what_could_not_fuse_anyway_passes(look: Any, old: str, new: str) -> None:
    assert old in _GRAPH
    assert not look(pair_between_layer_and_activation, _GRAPH.replace(old, new))


def test_a_pair_behind_the_activation_passes(look: Any) -> None:
    graph = """g (float[1,2,2,2] x) => (float[1,2,2,2] y)
    <float[2,2,1,1] w = {1, 2, 3, 4}, float s = {0.5}, int8 p = {0}> {
        a = Conv (x, w)
        gate = Sigmoid (a)
        b = Mul (a, gate)
        q = QuantizeLinear (b, s, p)
        d = DequantizeLinear (q, s, p)
        y = Conv (d, w)
    }"""
    assert not look(pair_between_layer_and_activation, graph)
