from __future__ import annotations

from typing import Any

import pytest

from mixdq.compiler.lint.zero_points import zero_point_off_zero
from mixdq.configs.target import Dialect

_GRAPH = """g (float[2,2] x, int8 fed) => (float[2,2] y)
<int8[2,2] w = {1, 2, 3, 4}, float s = {0.5}, float[2] rows = {1, 2},
 int8 p = {POINT}, int8[2] points = {0, 0}> {
    ["q"] q = QuantizeLinear (x, s, p)
    ["d"] d = DequantizeLinear (q, s, p)
    ["dw"] dw = DequantizeLinear <axis = 0> (w, rows, points)
    y = MatMul (d, dw)
}"""


def test_a_zero_point_off_zero_is_found_at_both_ends(look: Any) -> None:
    graph = _GRAPH.replace("POINT", "-3")
    assert look(zero_point_off_zero, graph) == [
        ("q", "its zero point is -3, not 0"),
        ("d", "its zero point is -3, not 0"),
    ]


def test_one_channel_of_a_weight_suffices(look: Any) -> None:
    graph = _GRAPH.replace("POINT", "0").replace("points = {0, 0}", "points = {0, 7}")
    assert look(zero_point_off_zero, graph) == [("dw", "its zero point is 7, not 0")]


def test_a_zero_point_that_is_fed_is_found(look: Any) -> None:
    graph = _GRAPH.replace("POINT", "0").replace("QuantizeLinear (x, s, p)", "QuantizeLinear (x, s, fed)")
    assert look(zero_point_off_zero, graph) == [("q", "its zero point is no constant")]


@pytest.mark.parametrize(("point", "dialect"), [("0", Dialect.TENSORRT), ("-3", Dialect.ORT)])
def test_zero_and_other_back_ends_pass(look: Any, point: str, dialect: Dialect) -> None:
    assert not look(zero_point_off_zero, _GRAPH.replace("POINT", point), dialect)
