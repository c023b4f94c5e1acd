from __future__ import annotations

from typing import Any

import pytest

from mixdq.compiler.lint.duplicates import quantized_twice

# Two layers that read one tensor, each through a pair of its own.
_GRAPH = """g (float[2,2] x, float[2,2] other) => (float[2,2] y, float[2,2] z)
<float[2,2] w = {1, 2, 3, 4}, float s = {0.5}, float s2 = {0.5}, float far = {0.25},
 int8 p = {0}, int8 p2 = {0}, int64[2] shape = {2, 2}> {
    ["q1"] q1 = QuantizeLinear (x, s, p)
    d1 = DequantizeLinear (q1, s, p)
    y = MatMul (d1, w)
    flat = Reshape (x, shape)
    ["q2"] q2 = QuantizeLinear (x, s2, p2)
    d2 = DequantizeLinear (q2, s2, p2)
    z = MatMul (d2, w)
}"""


def test_one_tensor_with_two_equal_pairs_is_found(look: Any) -> None:
    assert look(quantized_twice, _GRAPH) == [("q2", "quantizes x with the scale 0.5, as q1 does")]


def test_a_reshaped_tensor_is_the_same_tensor(look: Any) -> None:
    graph = _GRAPH.replace("QuantizeLinear (x, s2", "QuantizeLinear (flat, s2")
    assert look(quantized_twice, graph) == [("q2", "quantizes x with the scale 0.5, as q1 does")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("q2 = QuantizeLinear (x, s2, p2)", "q2 = QuantizeLinear (x, far, p2)"),
        ("q2 = QuantizeLinear (x, s2, p2)", "q2 = QuantizeLinear (other, s2, p2)"),
        ("p2 = {0}", "p2 = {3}"),
        ("int8 p2", "uint8 p2"),
        (
            "flat = Reshape (x, shape)",
            'tokens = Slice (x, shape, shape) ["q3"] q3 = QuantizeLinear (tokens, s, p)',
        ),
    ],
    ids=["another scale", "another tensor", "another zero point", "another type", "a part of it"],
)
def test_what_differs_is_no_duplicate(look: Any, old: str, new: str) -> None:
    assert old in _GRAPH
    found = look(quantized_twice, _GRAPH.replace(old, new))
    assert [where for where, _ in found] == (["q2"] if "q3" in new else [])


def test_quantizing_again_what_was_just_dequantized_is_found(look: Any) -> None:
    graph = _GRAPH.replace("QuantizeLinear (x, s2", "QuantizeLinear (d1, s2")
    ((where, found),) = look(quantized_twice, graph)
    assert where == "q2"
    assert "with the same scale 0.5" in found


def test_layers_that_share_a_pair_pass(look: Any) -> None:
    assert not look(
        quantized_twice,
        _GRAPH.replace("MatMul (d2, w)", "MatMul (d1, w)").replace(
            '["q2"] q2 = QuantizeLinear (x, s2, p2)\n    d2 = DequantizeLinear (q2, s2, p2)\n', ""
        ),
    )
