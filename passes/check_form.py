"""The last look at a quantized graph: does it hold exactly what the plan says?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from mixdq.configs.layers import LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.target import Dialect
from mixdq.passes.errors import GraphFormError
from mixdq.passes.layers import LayerNode, layer_nodes, nodes_of
from mixdq.passes.precompute_bos import TOKENS_NAME, bos_constant_name

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


class CheckFormPass(ir.passes.InPlacePass):
    """Compares a graph with its plan, independently of the passes that made it; changes nothing.

    Checked per layer: the weight is an INT8 constant behind one DequantizeLinear with a scale per output
    channel; the activation comes from one Quantize/Dequantize pair with a scalar scale, and zero point 0
    where the dialect is symmetric; both scales have the dialect's type, which is the type of what comes out
    of a DequantizeLinear; neither where the plan says floating point; no token 0 in a BOS-aware layer. And
    over the graph: no pair that feeds anything but layers.
    """

    def __init__(self, plan: PrecisionPlan, table: LayerTable, dialect: Dialect) -> None:
        self.plan = plan
        self.table = table
        self.dialect = dialect

    def __str__(self) -> str:
        return f"CheckFormPass({self.dialect})"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Raises if the graph deviates from the plan.

        Raises:
            GraphFormError: the first three deviations, and how many there are.
        """
        faults = [*self._layer_faults(model.graph), *self._stray_faults(model.graph)]
        if faults:
            more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
            raise GraphFormError(f"the quantized graph is not as planned: {'; '.join(faults[:3])}{more}")
        return ir.passes.PassResult(model, modified=False)

    def _layer_faults(self, graph: ir.Graph) -> Iterator[str]:
        nodes = layer_nodes(graph)
        for layer in self.table:
            precision = self.plan[layer.name]
            for part in nodes_of(nodes, layer, self.plan):
                yield from self._weight_faults(part, precision.quantizes_weight)
                yield from self._activation_faults(part, precision.quantizes_activation)
                if self.plan.takes_bos_out(layer):
                    yield from _bos_faults(graph, layer, part)

    def _activation_faults(self, part: LayerNode, quantized: bool) -> Iterator[str]:
        dequantize = _producer(part.activation, _DEQUANTIZE)
        if (dequantize is not None) != quantized:
            yield f"the activation of {part.name} is {'not ' if quantized else ''}quantized"
            return
        if dequantize is None:
            return
        quantize = _producer(dequantize.inputs[0], _QUANTIZE)
        if quantize is None or list(quantize.inputs[1:]) != list(dequantize.inputs[1:]):
            yield f"the activation of {part.name} is dequantized with other parameters than it was quantized"
            return
        scale, zero_point = quantize.inputs[1], quantize.inputs[2]
        if scale is None or scale.const_value is None or tuple(scale.const_value.shape):
            yield f"the activation scale of {part.name} is no scalar constant"
        elif scale.dtype is not self._float:
            yield f"the activation scale of {part.name} is no {self._float.name}"
        wanted = ir.DataType.INT8 if self.dialect.symmetric else ir.DataType.UINT8
        if zero_point is None or zero_point.const_value is None or zero_point.dtype is not wanted:
            yield f"the activation zero point of {part.name} is no {wanted.name} constant"
        elif self.dialect.symmetric and int(zero_point.const_value.numpy()) != 0:
            yield f"the activation zero point of {part.name} is not 0"

    def _weight_faults(self, part: LayerNode, quantized: bool) -> Iterator[str]:
        dequantize = _producer(part.weight, _DEQUANTIZE)
        if (dequantize is not None) != quantized:
            yield f"the weight of {part.name} is {'not ' if quantized else ''}quantized"
            return
        if dequantize is None:
            return
        stored, scale = dequantize.inputs[0], dequantize.inputs[1]
        if stored is None or stored.const_value is None or stored.dtype is not ir.DataType.INT8:
            yield f"the weight of {part.name} is not stored as INT8"
            return
        axis = dequantize.attributes.get_int("axis", 1)
        sizes = tuple(scale.const_value.shape) if scale is not None and scale.const_value is not None else ()
        if axis != part.channel_axis or sizes != (stored.const_value.shape[part.channel_axis],):
            yield f"the weight of {part.name} has no scale per output channel"
        elif scale is not None and scale.dtype is not self._float:
            yield f"the weight scale of {part.name} is no {self._float.name}"

    @property
    def _float(self) -> ir.DataType:
        return ir.DataType.from_numpy(np.dtype(self.dialect.float_type))

    def _stray_faults(self, graph: ir.Graph) -> Iterator[str]:
        nodes = layer_nodes(graph)
        planned = {
            part.name
            for layer in self.table
            for part in nodes_of(nodes, layer, self.plan)
            if self.plan[layer.name].quantizes_weight
        }
        for node in graph:
            readers = node.outputs[0].consumers() if node.op_type in (_QUANTIZE, _DEQUANTIZE) else ()
            for reader in readers:
                wanted = (
                    reader.op_type == _DEQUANTIZE if node.op_type == _QUANTIZE else reader.name in planned
                )
                if not wanted:
                    yield f"{node.name} feeds {reader.name} ({reader.op_type}), which is not to be quantized"


def _bos_faults(graph: ir.Graph, layer: LayerSpec, part: LayerNode) -> Iterator[str]:
    value: ir.Value | None = part.activation
    while (
        value is not None
        and (node := value.producer()) is not None
        and node.op_type in (_QUANTIZE, _DEQUANTIZE)
    ):
        value = node.inputs[0]
    if value is None or value.name != TOKENS_NAME:
        yield f"{part.name} still reads token 0 of the text embedding"
    readers = part.node.outputs[0].consumers()
    first = readers[0].inputs[0] if len(readers) == 1 and readers[0].op_type == "Concat" else None
    if first is None or first is not graph.initializers.get(bos_constant_name(layer.name)):
        yield f"the output of {part.name} does not begin with its BOS constant"


def _producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == op_type else None
