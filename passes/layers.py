"""Where a layer lives in a graph: its node, its weight, the axis of its output channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mixdq.configs.layers import LayerSpec
from mixdq.configs.plan import PrecisionPlan
from mixdq.passes.errors import GraphFormError

LAYER_OPS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True, slots=True)
class LayerNode:
    """A node that computes a quantizable layer: input 0 is the activation, input 1 the weight."""

    node: ir.Node

    @property
    def name(self) -> str:
        """The node's name: the layer's, with `.0` or `.1` behind it for the halves of a split shortcut."""
        assert self.node.name is not None
        return self.node.name

    @property
    def activation(self) -> ir.Value:
        """The layer's input."""
        return _some(self.node.inputs[0])

    @property
    def weight(self) -> ir.Value:
        """The layer's weight."""
        return _some(self.node.inputs[1])

    @property
    def channel_axis(self) -> int:
        """The weight's axis of output channels: 0 for convolutions, 1 for MatMul, either for Gemm."""
        if self.node.op_type == "Conv":
            return 0
        transposed = self.node.attributes.get("transB")
        return 0 if transposed is not None and transposed.as_int() else 1

    def weight_array(self) -> npt.NDArray[np.generic]:
        """The weight's values.

        Raises:
            GraphFormError: the weight is no constant.
        """
        if self.weight.const_value is None:
            raise GraphFormError(f"the weight of {self.name} is no constant of the graph")
        return self.weight.const_value.numpy()


def layer_nodes(graph: ir.Graph) -> Mapping[str, LayerNode]:
    """All convolutions and matrix products of a graph, by node name."""
    return {node.name: LayerNode(node) for node in graph if node.op_type in LAYER_OPS and node.name}


def nodes_of(graph: Mapping[str, LayerNode], layer: LayerSpec, plan: PrecisionPlan) -> tuple[LayerNode, ...]:
    """The node of a layer, or the two nodes of a split shortcut.

    Raises:
        GraphFormError: the graph has no such node.
    """
    names = part_names(layer, plan)
    if missing := [name for name in names if name not in graph]:
        raise GraphFormError(f"the graph has no node named {missing[0]}; export the model again")
    return tuple(graph[name] for name in names)


def part_names(layer: LayerSpec, plan: PrecisionPlan) -> tuple[str, ...]:
    """The names of a layer's nodes under a plan."""
    return (f"{layer.name}.0", f"{layer.name}.1") if plan.splits(layer) else (layer.name,)


def add_initializer(
    graph: ir.Graph, name: str, array: npt.NDArray[np.generic] | ir.TensorProtocol
) -> ir.Value:
    """A new constant of a graph: an array, or a tensor of a type that NumPy has not.

    Raises:
        GraphFormError: the name is taken.
    """
    if name in graph.initializers:
        raise GraphFormError(
            f"the graph already has a constant {name}: the pass ran before, or the names clash"
        )
    tensor = array if isinstance(array, ir.TensorProtocol) else ir.tensor(np.asarray(array, order="C"))
    tensor.name = name
    shape = ir.Shape(tensor.shape.numpy())
    value = ir.Value(name=name, shape=shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def new_node(
    op_type: str,
    name: str,
    inputs: list[ir.Value],
    *,
    dtype: ir.DataType,
    shape: ir.Shape | None,
    attributes: Mapping[str, int | float | str] | None = None,
) -> ir.Node:
    """A node with one typed output, both named `name`."""
    output = ir.Value(name=name, shape=shape, type=ir.TensorType(dtype))
    return ir.node(op_type, inputs, dict(attributes or {}), outputs=[output], name=name)


def drop_unused(graph: ir.Graph, constant: ir.Value) -> None:
    """Removes a constant that nothing reads any more."""
    if constant.name is not None and not constant.uses():
        del graph.initializers[constant.name]


def _some(value: ir.Value | None) -> ir.Value:
    assert value is not None
    return value
