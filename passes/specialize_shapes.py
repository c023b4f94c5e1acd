"""Symbolic sizes to numbers: one exported graph serves every resolution."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from mixdq.passes.errors import GraphFormError


class SpecializeShapesPass(ir.passes.InPlacePass):
    """Fixes the sizes of inputs, and with them of every value; folds the Shape nodes that read them.

    Args:
        sizes: per input name, the whole shape wanted.
    """

    def __init__(self, sizes: Mapping[str, tuple[int, ...]]) -> None:
        self.sizes = sizes

    def __str__(self) -> str:
        return f"SpecializeShapesPass({dict(self.sizes)})"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Solves the inputs' symbols, then evaluates every shape.

        Raises:
            GraphFormError: an input can't have the size wanted, or a shape depends on something else.
        """
        bindings: dict[str, int] = {}
        for value in model.graph.inputs:
            if value.name is not None and value.name in self.sizes:
                _bind(value, self.sizes[value.name], bindings)
        values = [*model.graph.inputs, *(output for node in model.graph for output in node.outputs)]
        modified = False
        for value in values:
            modified |= _evaluate(value, bindings)
        for node in list(model.graph):
            if node.op_type == "Shape":
                modified |= _fold(model.graph, node)
        return ir.passes.PassResult(model, modified)


def _bind(value: ir.Value, wanted: tuple[int, ...], bindings: dict[str, int]) -> None:
    shape = value.shape
    if shape is None or len(shape) != len(wanted):
        raise GraphFormError(f"the input {value.name} has shape {shape}, not the rank of {wanted}")
    for size, number in zip(shape, wanted, strict=True):
        if isinstance(size, int):
            if size != number:
                raise GraphFormError(
                    f"the input {value.name} has the fixed size {size} where {number} is wanted"
                )
            continue
        (symbol,) = size.free_symbols()
        unit = _number(size, {symbol: 1})
        bindings.setdefault(symbol, number // max(unit, 1))
        if _number(size, bindings) != number:
            raise GraphFormError(f"the input {value.name} can't have the size {number}: it is {size} there")


def _evaluate(value: ir.Value, bindings: Mapping[str, int]) -> bool:
    if value.shape is None or all(isinstance(size, int) for size in value.shape):
        return False
    value.shape = ir.Shape(
        [size if isinstance(size, int) else _number(size, bindings) for size in value.shape]
    )
    return True


def _number(size: ir.SymbolicDim, bindings: Mapping[str, int]) -> int:
    number = size.evaluate(bindings)
    if not isinstance(number, int):
        raise GraphFormError(f"a shape depends on {size}, which no input determines")
    return number


def _fold(graph: ir.Graph, node: ir.Node) -> bool:
    value = node.inputs[0]
    if value is None or value.shape is None or not all(isinstance(size, int) for size in value.shape):
        return False
    start = node.attributes.get_int("start", 0)
    end = node.attributes.get_int("end", len(value.shape))
    sizes = np.array(list(value.shape)[start:end], dtype=np.int64)
    output = node.outputs[0]
    name = output.name or f"{node.name}.folded"
    graph.remove(node, safe=False)
    output.name = f"{name}.removed"
    tensor = ir.tensor(sizes, name=name)
    constant = ir.Value(
        name=name, shape=ir.Shape(sizes.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(constant)
    output.replace_all_uses_with(constant, replace_graph_outputs=True)
    return True
