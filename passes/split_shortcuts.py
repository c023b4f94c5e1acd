"""Shortcut split: the two halves of a concatenated input get scales of their own (paper, section 4.1)."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from mixdq.configs.layers import LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.passes.errors import GraphFormError
from mixdq.passes.layers import LayerNode, add_initializer, drop_unused, layer_nodes, new_node


class SplitShortcutsPass(ir.passes.InPlacePass):
    """Replaces `conv(concat(a, b))` by `conv(a) + conv(b)` in the up-blocks' shortcuts; the bias stays once.

    The skip connection and the features from below differ in range by an order of magnitude, and one scale
    for both wastes most of the smaller one's bits.
    """

    def __init__(self, plan: PrecisionPlan, table: LayerTable) -> None:
        self.layers = [layer for layer in table if plan.splits(layer)]

    def __str__(self) -> str:
        return f"SplitShortcutsPass({len(self.layers)} layers)"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Divides each planned shortcut at its first concatenated input.

        Raises:
            GraphFormError: a shortcut's input is no Concat of two tensors, or divides elsewhere.
        """
        nodes = layer_nodes(model.graph)
        for layer in self.layers:
            if layer.name not in nodes:
                raise GraphFormError(f"the graph has no node named {layer.name}; export the model again")
            _split(model.graph, layer, nodes[layer.name])
        return ir.passes.PassResult(model, modified=bool(self.layers))


def _split(graph: ir.Graph, layer: LayerSpec, shortcut: LayerNode) -> None:
    halves = _concatenated(layer, shortcut)
    weight, bias = shortcut.weight_array(), [b for b in shortcut.node.inputs[2:] if b is not None]
    parts = (weight[:, : layer.split], weight[:, layer.split :])
    output = shortcut.node.outputs[0]
    assert output.dtype is not None
    convolutions = []
    for index, (half, part) in enumerate(zip(halves, parts, strict=True)):
        constant = add_initializer(graph, f"{layer.name}.{index}.weight", np.asarray(part))
        inputs = [half, constant, *(bias if index == 0 else [])]
        node = new_node("Conv", f"{layer.name}.{index}", inputs, dtype=output.dtype, shape=output.shape)
        for attribute in shortcut.node.attributes.values():
            node.attributes.add(attribute)
        convolutions.append(node)
    total = new_node(
        "Add",
        f"{layer.name}.sum",
        [node.outputs[0] for node in convolutions],
        dtype=output.dtype,
        shape=output.shape,
    )
    graph.insert_after(shortcut.node, [*convolutions, total])
    output.replace_all_uses_with(total.outputs[0], replace_graph_outputs=True)
    weight_value = shortcut.weight
    graph.remove(shortcut.node, safe=True)
    drop_unused(graph, weight_value)


def _concatenated(layer: LayerSpec, shortcut: LayerNode) -> list[ir.Value]:
    concat = shortcut.activation.producer()
    if concat is None or concat.op_type != "Concat" or len(concat.inputs) != 2:
        found = "a graph input" if concat is None else f"{concat.op_type} with {len(concat.inputs)} inputs"
        raise GraphFormError(f"{layer.name} reads {found}, not the Concat of two tensors that a split needs")
    halves = [value for value in concat.inputs if value is not None]
    channels = halves[0].shape[1] if halves[0].shape is not None else None
    if channels != layer.split:
        raise GraphFormError(
            f"the first input of {layer.name}'s Concat has {channels} channels, not {layer.split}: "
            "the graph and layers.json are of different models"
        )
    return halves
