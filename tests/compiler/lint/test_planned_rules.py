"""The three rules that compare a graph with its plan; each deviation by itself is in tests/passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mixdq.compiler.lint.not_planned import quantized_but_not_planned
from mixdq.compiler.lint.not_quantized import planned_but_not_quantized
from mixdq.compiler.lint.planned_form import other_than_the_planned_form
from mixdq.compiler.lint.subject import Planned

# p: W8A8. m: W8A16. f: FP16. ONNX text gives FP16 as its bits.
_GRAPH = """g (float16[2,2] x) => (float16[2,2] y)
<int8[2,2] w = {1, 2, 3, 4}, float16[2] sw = {15360, 15360}, float16 s = {14336}, int8 z = {0},
 float16[2,2] full = {15360, 0, 0, 15360}> {
    ["q"] q = QuantizeLinear (x, s, z)
    ["d"] d = DequantizeLinear (q, s, z)
    ["dp"] dp = DequantizeLinear <axis = 1> (w, sw)
    ["p"] p = MatMul (d, dp)
    ["dm"] dm = DequantizeLinear <axis = 1> (w, sw)
    ["m"] m = MatMul (p, dm)
    ["f"] y = MatMul (m, full)
}"""
_RULES = (planned_but_not_quantized, quantized_but_not_planned, other_than_the_planned_form)


@pytest.fixture
def plan(planned: Callable[..., Planned]) -> Planned:
    return planned(p="W8A8", m="W8A16", f="FP16")


@pytest.mark.parametrize("rule", _RULES)
def test_a_graph_as_planned_passes(look: Any, plan: Planned, rule: Any) -> None:
    assert not look(rule, _GRAPH, planned=plan)


@pytest.mark.parametrize(
    ("rule", "old", "new", "expected"),
    [
        (_RULES[0], "MatMul (d, dp)", "MatMul (x, dp)", ("p", "the activation of p is not quantized")),
        (_RULES[0], "MatMul (p, dm)", "MatMul (p, full)", ("m", "the weight of m is not quantized")),
        (_RULES[0], '["f"]', '["g"]', ("f", "the graph has no node named f; export the model again")),
        (_RULES[1], "MatMul (p, dm)", "MatMul (d, dm)", ("m", "the activation of m is quantized")),
        (
            _RULES[2],
            "float16[2] sw = {15360, 15360}",
            "float[2] sw = {1, 1}",
            ("p", "scale of p is no FLOAT16"),
        ),
    ],
)
def test_each_rule_finds_its_own_deviations_and_no_others(
    look: Any, plan: Planned, rule: Any, old: str, new: str, expected: tuple[str, str]
) -> None:
    assert old in _GRAPH
    graph = _GRAPH.replace(old, new)
    where, found = look(rule, graph, planned=plan)[0]
    assert where == expected[0]
    assert expected[1] in found
    for other in set(_RULES) - {rule}:
        assert not look(other, graph, planned=plan)


def test_a_pair_before_a_sum_is_not_planned(look: Any, plan: Planned) -> None:
    graph = _GRAPH.replace('["f"] y = MatMul (m, full)', '["f"] f = MatMul (m, full)\n["sum"] y = Add (f, d)')
    assert look(quantized_but_not_planned, graph, planned=plan) == [
        ("d", "d feeds sum (Add), which is not to be quantized")
    ]


def test_a_network_without_a_plan_holds_no_pair_at_all(look: Any) -> None:
    found = [where for where, _ in look(quantized_but_not_planned, _GRAPH)]
    assert found == ["q", "d", "dp", "dm"]
    for rule in (planned_but_not_quantized, other_than_the_planned_form):
        assert not look(rule, _GRAPH)
