from __future__ import annotations

from typing import Any

import pytest

from mixdq.compiler.lint.concat_scales import scales_change_across_concat

# Two halves that were quantized with the same scale, and what reads both.
_GRAPH = """g (float[2,1] a, float[2,1] b) => (float[2,2] y)
<float[2,2] w = {1, 2, 3, 4}, float[1,2] half = {1, 2}, float s = {0.5}, float t = {0.25}, int8 p = {0}> {
    qa = QuantizeLinear (a, s, p)
    ["da"] da = DequantizeLinear (qa, s, p)
    qb = QuantizeLinear (b, s, p)
    ["db"] db = DequantizeLinear (qb, s, p)
    ["cat"] both = Concat <axis = 1> (da, db)
    ["q"] q = QuantizeLinear (both, s, p)
    d = DequantizeLinear (q, s, p)
    y = MatMul (d, w)
}"""


def test_one_scale_before_and_behind_passes(look: Any) -> None:
    assert not look(scales_change_across_concat, _GRAPH)


def test_halves_of_two_scales_are_found(look: Any) -> None:
    graph = _GRAPH.replace("(b, s, p)", "(b, t, p)").replace("(qb, s, p)", "(qb, t, p)")
    assert look(scales_change_across_concat, graph) == [
        ("cat", "its inputs were dequantized with the scales 0.5, 0.25")
    ]


@pytest.mark.parametrize("move", ["", "m = Transpose (both)"])
def test_another_scale_behind_is_found(look: Any, move: str) -> None:
    graph = _GRAPH.replace("(both, s, p)", "(both, t, p)").replace("(q, s, p)", "(q, t, p)")
    if move:
        graph = graph.replace('["q"]', f'{move}\n["q"]').replace("(both, t, p)", "(m, t, p)")
    assert look(scales_change_across_concat, graph) == [
        ("cat", "takes numbers of the scale 0.5 from da, and q quantizes them with 0.25")
    ]


def test_a_split_whose_halves_have_readers_of_their_own_needs_two_scales(look: Any) -> None:
    # As SplitShortcutsPass leaves it: the Concat is there still, in floating point, for the norm.
    graph = _GRAPH.replace("(b, s, p)", "(b, t, p)").replace("(qb, s, p)", "(qb, t, p)")
    graph = graph.replace("Concat <axis = 1> (da, db)", "Concat <axis = 1> (a, b)")
    graph = graph.replace(
        "y = MatMul (d, w)", "ya = MatMul (da, half) yb = MatMul (db, half) y = Add (ya, yb)"
    )
    assert not look(scales_change_across_concat, graph)


def test_a_constant_before_a_products_rows_is_no_second_scale(look: Any) -> None:
    # As PrecomputeBosPass leaves it: token 0's row, never quantized, before the others.
    graph = _GRAPH.replace("(da, db)", "(half, product)").replace(
        '["cat"]', 'product = MatMul (da, half)\n["cat"]'
    )
    assert not look(scales_change_across_concat, graph)
