"""Rule `fp32-island`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import onnx_ir as ir

from mixdq.compiler.lint.finding import REBUILD, Finding
from mixdq.compiler.lint.subject import Subject
from mixdq.configs.target import Dialect
from mixdq.passes.deviations import DEQUANTIZE
from mixdq.passes.layers import LAYER_OPS

RULE = "fp32-island"
_HALVES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def float_between_halves(subject: Subject) -> Iterator[Finding]:
    """In TensorRT's dialect nothing between layers in FP16 (or BF16) computes in FP32.

    An island is a group of neighbouring nodes that give FP32, with convolutions or products in FP16 before
    and behind it. So what a network begins with may be FP32 (the sinusoids of time and size), and so may a
    whole network (the VAE).

    Prevents: half of the speed gone, silently: in a strongly typed network a DequantizeLinear gives the type
    of its scale, and one FP32 scale turns what follows into FP32 (NVIDIA/TensorRT#1144, #3197).
    """
    if subject.dialect is not Dialect.TENSORRT:
        return
    before, behind = _before_and_behind(subject.graph)
    nodes = [node for node in subject.graph if _gives_single(node) and node in before and node in behind]
    for island in _neighbours(nodes):
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(n.op_type for n in island).items())
        found = f"FP32 between layers in 16 bits: {kinds}, from {island[0].name} to {island[-1].name}"
        yield Finding(RULE, island[0].name or "", found, REBUILD)


def _gives_single(node: ir.Node) -> bool:
    return any(_type(node, output) is ir.DataType.FLOAT for output in node.outputs)


def _type(node: ir.Node, output: ir.Value) -> ir.DataType | None:
    # The type that a graph notes for a value is nobody's word but the last pass's; a scale's binds TensorRT.
    scale = node.inputs[1] if node.op_type == DEQUANTIZE else None
    return scale.dtype if scale is not None else output.dtype


def _before_and_behind(graph: ir.Graph) -> tuple[set[ir.Node], set[ir.Node]]:
    """The nodes that come after a layer in sixteen bits, and those that come before one."""
    order = list(graph)
    halves = {node for node in order if node.op_type in LAYER_OPS and node.outputs[0].dtype in _HALVES}
    after: set[ir.Node] = set()
    for node in order:
        if any(other in halves or other in after for other in node.predecessors()):
            after.add(node)
    ahead: set[ir.Node] = set()
    for node in reversed(order):
        if any(other in halves or other in ahead for other in node.successors()):
            ahead.add(node)
    return after, ahead


def _neighbours(nodes: list[ir.Node]) -> list[list[ir.Node]]:
    """Nodes in groups that are joined by edges, each in the graph's order."""
    left, groups = set(nodes), []
    for first in nodes:
        if first not in left:
            continue
        found, todo = set(), [first]
        while todo:
            node = todo.pop()
            if node in left:
                left.remove(node)
                found.add(node)
                todo += [*node.predecessors(), *node.successors()]
        groups.append([node for node in nodes if node in found])
    return groups
