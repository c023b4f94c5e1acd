from __future__ import annotations

from typing import Any

import pytest

from mixdq.compiler.lint.float_islands import float_between_halves
from mixdq.configs.target import Dialect

# Two layers in FP16 with a norm between them that computes in FP32. ONNX text gives FP16 as its bits.
_GRAPH = """g (float16[2,2] x, float[2,2] time) => (float16[2,2] y)
<float16[2,2] w = {15360, 0, 0, 15360}, float16[2,2] a, float[2,2] wide, float[2,2] squared, float16[2,2] b> {
    ["first"] a = MatMul (x, w)
    ["cast"] wide = Cast <to = 1> (a)
    ["square"] squared = Mul (wide, wide)
    ["back"] b = Cast <to = 10> (squared)
    ["second"] y = MatMul (b, w)
}"""


def test_nodes_in_fp32_between_layers_in_fp16_are_one_finding(look: Any) -> None:
    assert look(float_between_halves, _GRAPH) == [
        ("cast", "FP32 between layers in 16 bits: 1 Cast, 1 Mul, from cast to square")
    ]


def test_a_layer_in_fp32_is_part_of_the_island(look: Any) -> None:
    graph = _GRAPH.replace("Mul (wide, wide)", "MatMul (wide, time)")
    assert look(float_between_halves, graph) == [
        ("cast", "FP32 between layers in 16 bits: 1 Cast, 1 MatMul, from cast to square")
    ]


def test_an_fp32_scale_counts_whatever_the_graph_notes_of_its_output(look: Any) -> None:
    graph = """g (float16[2,2] x) => (float16[2,2] y)
    <float16[2,2] w = {15360, 0, 0, 15360}, float16[2,2] a, float s = {0.5}, int8 p = {0}, float16[2,2] d> {
        ["first"] a = MatMul (x, w)
        ["q"] q = QuantizeLinear (a, s, p)
        ["d"] d = DequantizeLinear (q, s, p)
        ["second"] y = MatMul (d, w)
    }"""
    assert look(float_between_halves, graph) == [
        ("d", "FP32 between layers in 16 bits: 1 DequantizeLinear, from d to d")
    ]
    half = graph.replace("float s = {0.5}", "float16 s = {14336}")
    assert not look(float_between_halves, half)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Cast <to = 1> (a)", "Sin (time)"),
        ('["second"] y = MatMul (b, w)', '["last"] y = Neg (b)'),
        ("float[2,2] wide, float[2,2] squared", "float16[2,2] wide, float16[2,2] squared"),
    ],
    ids=["at the beginning", "at the end", "all in FP16"],
)
def test_what_stands_between_no_two_layers_passes(look: Any, old: str, new: str) -> None:
    assert old in _GRAPH
    assert not look(float_between_halves, _GRAPH.replace(old, new))


def test_layers_in_bfloat16_count_as_well(look: Any) -> None:
    graph = _GRAPH.replace("float16", "bfloat16").replace("to = 10", "to = 16")
    assert [where for where, _ in look(float_between_halves, graph)] == ["cast"]


def test_two_islands_are_two_findings(look: Any) -> None:
    graph = _GRAPH.replace("=> (float16[2,2] y)", "=> (float16[2,2] z)").replace(
        "float[2,2] wide,", ("float[2,2] wide, float16[2,2] y, float[2,2] again, float16[2,2] c,")
    )
    graph = graph.replace(
        "MatMul (b, w)",
        ('MatMul (b, w) ["cast2"] again = Cast <to = 1> (y) c = Cast <to = 10> (again) z = MatMul (c, w)'),
    )
    assert [where for where, _ in look(float_between_halves, graph)] == ["cast", "cast2"]


def test_a_network_in_fp32_and_other_dialects_pass(look: Any) -> None:
    assert not look(float_between_halves, _GRAPH.replace("float16", "float"))
    assert not look(float_between_halves, _GRAPH, Dialect.ORT)
