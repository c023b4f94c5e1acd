"""Asymmetric activations where zero points are refused: the centre is subtracted, and its product added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.passes.center_bias import CENTERED, add_to_bias, constant_array, weight_sums
from mixdq.passes.errors import GraphFormError
from mixdq.passes.layers import (
    LayerNode,
    add_initializer,
    drop_unused,
    layer_nodes,
    new_node,
    nodes_of,
)

_MIDDLE = 128  # of UINT8: what INT8 calls 0
_PADDED = ".padded"


class CenterActivationsPass(ir.passes.InPlacePass):
    """Turns UINT8 pairs with a zero point z into INT8 pairs without one, for the layers that a plan centers.

    With the scale s and c = (128 - z) s, quantizing x - c about 0 gives the integers of x less 128, and the
    layer's W (x' + c) = W x' + c W 1: its bias grows by c times the sums of its dequantized weights, each
    over all that one output reads. That is exact in real arithmetic if each output reads the same inputs
    everywhere: linear layers, and convolutions without padding. A padded one gets its zeros from a node of
    its own, before c is subtracted.

    In the graph's own type c is rounded; bias and difference take the same rounded c, so that what is left is
    that of x - c, below a sixteenth of a step in FP16, and the bias's own.

    Added: a Sub for each pair, a Pad for each input of padded convolutions, whose pair is then none of the
    others', and an Add for each MatMul without a bias.
    """

    def __init__(self, plan: PrecisionPlan, table: LayerTable) -> None:
        self.plan = plan
        self.layers = [layer for layer in table if plan.centers(layer)]

    def __str__(self) -> str:
        return f"CenterActivationsPass({len(self.layers)} layers)"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrites pair by pair, then the biases of all its readers.

        Raises:
            GraphFormError: a layer's input is no UINT8 pair, or is read by one that is not centered; a bias
                that is no constant, or that the graph's type can't hold.
        """
        nodes = layer_nodes(model.graph)
        pairs: dict[ir.Node, list[LayerNode]] = {}
        for layer in self.layers:
            for part in nodes_of(nodes, layer, self.plan):
                pairs.setdefault(_dequantize(part), []).append(part)
        for dequantize, readers in pairs.items():
            _center(model.graph, dequantize, readers)
        return ir.passes.PassResult(model, modified=bool(pairs))


def uncentered(value: ir.Value) -> ir.Value:
    """What an activation was before its centre was subtracted; the value itself if none was."""
    node = value.producer()
    while node is not None and (node.name or "").endswith((f".input{CENTERED}", f".input{_PADDED}")):
        source = node.inputs[0]
        assert source is not None
        value, node = source, source.producer()
    return value


def with_centers_product(node: ir.Node) -> ir.Value:
    """A layer's output with what its centre contributes, where that is an Add of its own."""
    output = node.outputs[0]
    added = [user for user in output.consumers() if user.name == f"{node.name}{CENTERED}"]
    return added[0].outputs[0] if added else output


def nodes_of_centers(graph: Iterable[ir.Node]) -> Mapping[str, int]:
    """How many nodes of each type the pass added to a graph, beside pairs for padded convolutions."""
    endings = {"Sub": f".input{CENTERED}", "Pad": f".input{_PADDED}", "Add": CENTERED}
    return {
        op_type: sum(node.op_type == op_type and (node.name or "").endswith(ending) for node in graph)
        for op_type, ending in endings.items()
    }


def _dequantize(part: LayerNode) -> ir.Node:
    node = part.activation.producer()
    quantize = node.inputs[0].producer() if node is not None and node.inputs[0] is not None else None
    zero_point = node.inputs[2] if node is not None and len(node.inputs) > 2 else None
    if (
        node is None
        or quantize is None
        or (node.op_type, quantize.op_type) != ("DequantizeLinear", "QuantizeLinear")
        or zero_point is None
        or zero_point.dtype is not ir.DataType.UINT8
    ):
        raise GraphFormError(
            f"the input of {part.name} comes from no pair with a UINT8 zero point, of which alone a centre "
            "can be subtracted; the pass ran before, or Q/DQ are of another form"
        )
    return node


@dataclass(frozen=True, slots=True)
class _Centre:
    """What is subtracted from `source`, and the constants of the pairs behind it; new nodes go before one."""

    source: ir.Value
    scale: ir.Value
    zero: ir.Value
    constant: ir.Value
    before: ir.Node

    @property
    def value(self) -> float:
        return float(constant_array(self.constant))

    @property
    def dtype(self) -> ir.DataType:
        return ir.DataType.from_numpy(constant_array(self.scale).dtype)


def _center(graph: ir.Graph, dequantize: ir.Node, readers: list[LayerNode]) -> None:
    others = set(dequantize.outputs[0].consumers()) - {reader.node for reader in readers}
    if others:
        raise GraphFormError(
            f"{readers[0].name} shares its quantized input with {min(str(node.name) for node in others)}, "
            "whose input the plan does not center"
        )
    quantize = _some(dequantize.inputs[0]).producer()
    assert quantize is not None
    centre = _centre(graph, quantize, f"{readers[0].name}.input")
    made: dict[tuple[int, ...], ir.Value] = {}
    for reader in readers:
        pads, name = _pads(reader), f"{reader.name}.input"
        if pads not in made:
            made[pads] = _quantized(graph, centre, _padded(graph, centre, pads, name), name)
        if pads:
            reader.node.attributes["pads"] = ir.AttrInt64s("pads", [0] * len(pads))
        reader.node.replace_input_with(0, made[pads])
        add_to_bias(graph, reader, centre.value * weight_sums(reader), centre.dtype)
    zero_point = _some(quantize.inputs[2])
    graph.remove([dequantize, quantize], safe=True)
    drop_unused(graph, zero_point)


def _centre(graph: ir.Graph, quantize: ir.Node, name: str) -> _Centre:
    source, scale, zero_point = (_some(value) for value in quantize.inputs[:3])
    steps, point = constant_array(scale), int(constant_array(zero_point))
    # Rounded to the graph's type before anything is made of it.
    centre = ((_MIDDLE - point) * steps.astype(np.float64)).astype(steps.dtype)
    constant = add_initializer(graph, f"{name}.center", centre)
    zero = add_initializer(graph, f"{name}{CENTERED}.zero_point", np.zeros((), np.int8))
    return _Centre(source, scale, zero, constant, quantize)


def _quantized(graph: ir.Graph, centre: _Centre, value: ir.Value, name: str) -> ir.Value:
    """A value without its centre, through a pair about zero."""
    name, shape, parameters = f"{name}{CENTERED}", value.shape, [centre.scale, centre.zero]
    difference = new_node("Sub", name, [value, centre.constant], dtype=centre.dtype, shape=shape)
    integers = new_node(
        "QuantizeLinear",
        f"{name}.quantized",
        [difference.outputs[0], *parameters],
        dtype=ir.DataType.INT8,
        shape=shape,
    )
    real = new_node(
        "DequantizeLinear",
        f"{name}.dequantized",
        [integers.outputs[0], *parameters],
        dtype=centre.dtype,
        shape=shape,
    )
    graph.insert_before(centre.before, [difference, integers, real])
    return real.outputs[0]


def _padded(graph: ir.Graph, centre: _Centre, pads: tuple[int, ...], name: str) -> ir.Value:
    """The input with its zeros around it, of which a convolution then adds none."""
    source = centre.source
    if not pads:
        return source
    begins, ends = np.split(np.asarray(pads, dtype=np.int64), 2)
    none = np.zeros(2, np.int64)  # before and behind: batch and channels
    sides = add_initializer(graph, f"{name}.pads", np.concatenate([none, begins, none, ends]))
    shape = source.shape
    if shape is not None:
        more = [0, 0, *(int(a + b) for a, b in zip(begins, ends, strict=True))]
        shape = ir.Shape([size + extra for size, extra in zip(shape, more, strict=True)])
    node = new_node("Pad", f"{name}{_PADDED}", [source, sides], dtype=centre.dtype, shape=shape)
    graph.insert_before(centre.before, node)
    return node.outputs[0]


def _pads(layer: LayerNode) -> tuple[int, ...]:
    """A convolution's padding; empty if there is none."""
    attribute = layer.node.attributes.get("pads")
    pads = () if attribute is None else tuple(attribute.as_ints())
    automatic = layer.node.attributes.get("auto_pad")
    if automatic is not None and automatic.as_string() not in ("NOTSET", "VALID"):
        raise GraphFormError(f"{layer.name} pads by auto_pad; export the model again with explicit padding")
    return pads if any(pads) else ()


def _some(value: ir.Value | None) -> ir.Value:
    assert value is not None
    return value
