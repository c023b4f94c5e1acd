"""Names the nodes of quantizable layers after their modules."""

from __future__ import annotations

import ast

import onnx_ir as ir

from mixdq.configs.layers import LayerTable, parse_layer_name
from mixdq.passes.errors import GraphFormError
from mixdq.passes.layers import LAYER_OPS, LayerNode

_SCOPES = "pkg.torch.onnx.name_scopes"


class NameLayersPass(ir.passes.InPlacePass):
    """Renames each layer's node to the layer, and its weight and bias to `<layer>.weight` and `.bias`.

    The exporter records the module path of every node (`name_scopes`, the last entry but one); weights of
    linear layers lose their names there, so nothing else tells a layer's node from an attention product.
    """

    def __init__(self, table: LayerTable) -> None:
        self.table = table

    def __str__(self) -> str:
        return f"NameLayersPass({len(self.table)} layers)"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Renames nodes and constants; nothing else changes.

        Raises:
            GraphFormError: a layer has no node or two, or the name that a constant is to take is taken.
        """
        modified = False
        seen: set[str] = set()
        for node in model.graph:
            name = _module_path(node) if node.op_type in LAYER_OPS else None
            if name is None or name not in self.table.by_name or not _has_weight(node):
                continue
            if name in seen:
                raise GraphFormError(f"two nodes of the graph claim to be {name}; export the model again")
            seen.add(name)
            modified |= _rename(model.graph, node, name)
        if missing := [layer.name for layer in self.table if layer.name not in seen]:
            raise GraphFormError(
                f"the graph has no node for {missing[0]} (of {len(missing)} layers); it was exported from "
                "another model, or its metadata was removed: export the model again"
            )
        return ir.passes.PassResult(model, modified)


def _module_path(node: ir.Node) -> str | None:
    scopes = node.metadata_props.get(_SCOPES)
    if scopes is None:
        return node.name
    path = ast.literal_eval(scopes)
    return parse_layer_name(path[-2]) if len(path) > 1 else None


def _has_weight(node: ir.Node) -> bool:
    weight = node.inputs[1]
    return weight is not None and weight.const_value is not None


def _rename(graph: ir.Graph, node: ir.Node, name: str) -> bool:
    wanted: list[tuple[ir.Node | ir.Value, str]] = [(node, name), (LayerNode(node).weight, f"{name}.weight")]
    wanted += [(bias, f"{name}.bias") for bias in _biases(node)]
    wrong = [(thing, right) for thing, right in wanted if thing.name != right]
    for thing, right in wrong:
        if isinstance(thing, ir.Value) and right in graph.initializers:
            raise GraphFormError(
                f"the graph has another constant named {right} already; export the model again"
            )
        thing.name = right
    return bool(wrong)


def _biases(node: ir.Node) -> list[ir.Value]:
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        return [node.inputs[2]]
    added = [value for user in node.outputs[0].consumers() if user.op_type == "Add" for value in user.inputs]
    return [
        value for value in added if value is not None and value.is_initializer() and len(value.uses()) == 1
    ]
