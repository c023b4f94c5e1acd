"""How a quantized graph deviates from its plan: found independently of the passes that made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import onnx_ir as ir

from mixdq.configs.form import ActivationFormat, Form, Granularity
from mixdq.configs.layers import LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.realized import RealizedLayer
from mixdq.configs.target import Dialect
from mixdq.passes.center_activations import uncentered, with_centers_product
from mixdq.passes.layers import LayerNode, layer_nodes, part_names
from mixdq.passes.precompute_bos import TOKENS_NAME, bos_constant_name
from mixdq.passes.stored import ACTIVATION_TYPES, WEIGHT_TYPES, is_scaled_along, scale_sizes

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"

_TYPE_NAMES = {ir.DataType.INT8: "INT8", ir.DataType.INT4: "INT4", ir.DataType.FLOAT8E4M3FN: "FP8 (E4M3)"}
_SHARED = {
    Granularity.TENSOR: "for the whole tensor alone",
    Granularity.CHANNEL: "per output channel",
    **{one: f"per block of {one.block} inputs" for one in Granularity if one.block is not None},
}


class DeviationKind(StrEnum):
    """What sort of deviation it is.

    `NOT_QUANTIZED`: the plan quantizes something that the graph leaves in floating point, or does not hold.
    `NOT_PLANNED`: the graph quantizes something that the plan does not.
    `ZERO_POINT`: an activation off zero where its form is symmetric.
    `FORM`: quantized as planned, but in another form than the back ends read.
    """

    NOT_QUANTIZED = "not quantized"
    NOT_PLANNED = "not planned"
    ZERO_POINT = "zero point"
    FORM = "form"


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing in which a graph is not as planned.

    Attributes:
        kind: what sort.
        node: the layer's node, or the node that stands where none should.
        what: a sentence: `the weight of conv_in is not quantized`.
    """

    kind: DeviationKind
    node: str
    what: str


def deviations(
    graph: ir.Graph, plan: PrecisionPlan, table: LayerTable, dialect: Dialect
) -> Iterator[Deviation]:
    """Compares a graph with its plan.

    Checked per layer: the weight is a constant of its form's type (INT8 in a plan that was made legal for no
    target) behind one DequantizeLinear with a scale per output channel, per block of inputs or per tensor, as
    the form has it; the activation comes from one Quantize/Dequantize pair with a scalar scale, a zero point
    of the form's type, and 0 unless it is UINT8; both scales have the dialect's type, which is the type of
    what comes out of a DequantizeLinear; neither where the plan says floating point; no token 0 in a
    BOS-aware layer. And over the graph: no pair that feeds anything but layers.
    """
    return _Comparison(graph, plan, table, dialect).run()


class _Comparison:
    def __init__(self, graph: ir.Graph, plan: PrecisionPlan, table: LayerTable, dialect: Dialect) -> None:
        self._graph, self._plan, self._table, self._dialect = graph, plan, table, dialect
        self._nodes = layer_nodes(graph)
        self._float = ir.DataType.from_numpy(np.dtype(dialect.float_type))

    def run(self) -> Iterator[Deviation]:
        for layer in self._table:
            realized = RealizedLayer.of(self._plan, layer, self._dialect)
            form = realized.form
            for name in part_names(layer, self._plan):
                if name not in self._nodes:
                    what = f"the graph has no node named {name}; export the model again"
                    yield Deviation(DeviationKind.NOT_QUANTIZED, name, what)
                    continue
                part = self._nodes[name]
                yield from self._weight(part, form)
                yield from self._activation(part, form.activation)
                yield from _centre(part, realized.centered)
                if self._plan.takes_bos_out(layer):
                    yield from _bos(self._graph, layer, part)
        yield from self._strays()

    def _activation(self, part: LayerNode, form: ActivationFormat) -> Iterator[Deviation]:
        quantized = form is not ActivationFormat.FLOAT
        dequantize = produced_by(part.activation, DEQUANTIZE)
        if (dequantize is not None) != quantized:
            yield _coverage(part, "activation", quantized)
            return
        if dequantize is None:
            return
        quantize = produced_by(dequantize.inputs[0], QUANTIZE)
        if quantize is None or list(quantize.inputs[1:]) != list(dequantize.inputs[1:]):
            yield _form(
                part,
                f"the activation of {part.name} is dequantized with other parameters than it was quantized",
            )
            return
        scale, zero_point = quantize.inputs[1], quantize.inputs[2]
        if scale is None or scale.const_value is None or tuple(scale.const_value.shape):
            yield _form(part, f"the activation scale of {part.name} is no scalar constant")
        elif scale.dtype is not self._float:
            yield _form(part, f"the activation scale of {part.name} is no {self._float.name}")
        wanted = ACTIVATION_TYPES[form]
        if zero_point is None or zero_point.const_value is None or zero_point.dtype is not wanted:
            yield _form(part, f"the activation zero point of {part.name} is no {wanted.name} constant")
        elif form is not ActivationFormat.UINT8 and float(zero_point.const_value.numpy()) != 0:
            what = f"the activation zero point of {part.name} is not 0"
            yield Deviation(DeviationKind.ZERO_POINT, part.name, what)

    def _weight(self, part: LayerNode, form: Form) -> Iterator[Deviation]:
        quantized = form.granularity is not Granularity.NONE
        dequantize = produced_by(part.weight, DEQUANTIZE)
        if (dequantize is not None) != quantized:
            yield _coverage(part, "weight", quantized)
            return
        if dequantize is None:
            return
        stored, scale, wanted = dequantize.inputs[0], dequantize.inputs[1], WEIGHT_TYPES[form.weight]
        if stored is None or stored.const_value is None or stored.dtype is not wanted:
            yield _form(part, f"the weight of {part.name} is not stored as {_TYPE_NAMES[wanted]}")
            return
        constant = scale.const_value if scale is not None else None
        sizes = None if constant is None else tuple(constant.shape)
        wanted_sizes = scale_sizes(stored.const_value.shape.numpy(), part.channel_axis, form)
        if sizes != wanted_sizes or not is_scaled_along(dequantize, part.channel_axis, form):
            yield _form(part, f"the weight of {part.name} has no scale {_SHARED[form.granularity]}")
        elif scale is not None and scale.dtype is not self._float:
            yield _form(part, f"the weight scale of {part.name} is no {self._float.name}")

    def _strays(self) -> Iterator[Deviation]:
        planned = {
            name
            for layer in self._table
            if self._plan[layer.name].quantizes_weight
            for name in part_names(layer, self._plan)
        }
        for node in self._graph:
            readers = node.outputs[0].consumers() if node.op_type in (QUANTIZE, DEQUANTIZE) else ()
            for reader in readers:
                wanted = reader.op_type == DEQUANTIZE if node.op_type == QUANTIZE else reader.name in planned
                if not wanted:
                    what = f"{node.name} feeds {reader.name} ({reader.op_type}), which is not to be quantized"
                    yield Deviation(DeviationKind.NOT_PLANNED, node.name or "", what)


def produced_by(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node that a value comes from, if it is of that type."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == op_type else None


def _coverage(part: LayerNode, operand: str, planned: bool) -> Deviation:
    kind = DeviationKind.NOT_QUANTIZED if planned else DeviationKind.NOT_PLANNED
    return Deviation(kind, part.name, f"the {operand} of {part.name} is {'not ' if planned else ''}quantized")


def _form(part: LayerNode, what: str) -> Deviation:
    return Deviation(DeviationKind.FORM, part.name, what)


def _centre(part: LayerNode, planned: bool) -> Iterator[Deviation]:
    dequantize = produced_by(part.activation, DEQUANTIZE)
    quantize = produced_by(dequantize.inputs[0], QUANTIZE) if dequantize is not None else None
    value = quantize.inputs[0] if quantize is not None else None
    if value is not None and (uncentered(value) is not value) != planned:
        yield _form(part, f"the activation of {part.name} is {'not ' if planned else ''}about its centre")


def _bos(graph: ir.Graph, layer: LayerSpec, part: LayerNode) -> Iterator[Deviation]:
    value: ir.Value | None = part.activation
    while (node := produced_by(value, DEQUANTIZE) or produced_by(value, QUANTIZE)) is not None:
        value = node.inputs[0]
    if value is None or uncentered(value).name != TOKENS_NAME:
        yield _form(part, f"{part.name} still reads token 0 of the text embedding")
    readers = with_centers_product(part.node).consumers()
    first = readers[0].inputs[0] if len(readers) == 1 and readers[0].op_type == "Concat" else None
    if first is None or first is not graph.initializers.get(bos_constant_name(layer.name)):
        yield _form(part, f"the output of {part.name} does not begin with its BOS constant")
