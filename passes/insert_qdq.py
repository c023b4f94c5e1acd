"""Quantize/dequantize pairs, from the plan."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from mixdq.configs.clipping import Rounder, nearest_even
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.quantizer import ActivationQuantizer
from mixdq.configs.ranges import Range, RangeTable
from mixdq.configs.realized import RealizedLayer
from mixdq.configs.target import Dialect
from mixdq.passes.errors import GraphFormError
from mixdq.passes.layers import (
    LayerNode,
    add_initializer,
    drop_unused,
    layer_nodes,
    new_node,
    nodes_of,
)
from mixdq.passes.stored import activation_type, stored_weight, weight_attributes

_ACTIVATION_BITS = 8


class InsertQdqPass(ir.passes.InPlacePass):
    """Quantizes exactly the layers of the plan, and nothing else.

    Weights become constants with a DequantizeLinear, in the form that the plan was made legal in
    (`mixdq.passes.stored`), and INT8 with a scale an output channel in a plan that was not; activations get a
    pair QuantizeLinear, DequantizeLinear (per tensor). Scales have the graph's floating-point type: TensorRT
    types a DQ's output by its scale.

    Where the pairs stand keeps the fusions of the back ends:

    - One pair for all layers that read one tensor with equal scale and zero point: to_q, to_k and to_v of
      self-attention share theirs, to_k and to_v of all cross-attentions, the resnets' time projections, the
      readers of a skip connection. A layer whose input the plan leaves in floating point takes no part, and
      one with another range has a pair of its own. The halves of a split shortcut are two tensors, and the
      text without token 0 is another tensor than the text.
    - Only layers' inputs are quantized. So nothing stands between a convolution and its activation, and both
      sides of a residual Add stay in floating point: a pair on its skip side, which publishers of INT8
      ResNets recommend, would fuse into an Add in INT8, and our sums go to a norm in FP16.
    - Matrix-vector layers (the time embeddings) are quantized if the plan names them, and never otherwise.
    """

    def __init__(
        self,
        plan: PrecisionPlan,
        table: LayerTable,
        ranges: RangeTable,
        dialect: Dialect,
        rounder: Rounder = nearest_even,
    ) -> None:
        """What the pass needs.

        Args:
            plan: one precision a layer, and the forms if it was made legal.
            table: the model's layers.
            ranges: their calibrated ranges.
            dialect: the form of graph that the target reads.
            rounder: chooses the integers of the weights.
        """
        self.plan = plan
        self.table = table
        self.ranges = ranges
        self.dialect = dialect
        self.rounder = rounder

    def __str__(self) -> str:
        return f"InsertQdqPass({self.plan.digest[:12]}, {self.dialect})"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Inserts the pairs layer by layer."""
        nodes = layer_nodes(model.graph)
        shared: dict[tuple[int, ActivationQuantizer], ir.Value] = {}
        modified = False
        for layer in self.table:
            precision = self.plan[layer.name]
            if not precision.quantizes_weight:
                continue
            modified = True
            realized = RealizedLayer.of(self.plan, layer, self.dialect)
            parts = nodes_of(nodes, layer, self.plan)
            ranges = self.ranges.input_ranges(layer, self.plan)
            for part, values in zip(parts, ranges, strict=True):
                self._quantize_weight(model.graph, part, realized)
                if not precision.quantizes_activation:
                    continue
                quantizer = self._quantizer(part, realized, values)
                key = (id(part.activation), quantizer)
                if key not in shared:
                    shared[key] = self._quantize_activation(model.graph, part, quantizer)
                part.node.replace_input_with(0, shared[key])
        return ir.passes.PassResult(model, modified)

    def _quantize_weight(self, graph: ir.Graph, layer: LayerNode, realized: RealizedLayer) -> None:
        original = layer.weight
        array = layer.weight_array().astype(np.float32)
        name, quantizer = f"{layer.name}.weight", realized.weight
        scales = quantizer.scales(array, outputs=layer.channel_axis)
        numbers = quantizer.quantize(
            array, scales, outputs=layer.channel_axis, layer=layer.name, rounder=self.rounder
        )
        stored = add_initializer(graph, f"{name}.quantized", stored_weight(numbers, realized.form.weight))
        scale = add_initializer(graph, f"{name}.scale", scales.astype(self.dialect.float_type))
        node = new_node(
            "DequantizeLinear",
            f"{name}.dequantized",
            [stored, scale],
            dtype=self._float,
            shape=original.shape,
            attributes=weight_attributes(realized.form, layer.channel_axis),
        )
        graph.insert_before(layer.node, node)
        layer.node.replace_input_with(1, node.outputs[0])
        drop_unused(graph, original)

    def _quantizer(self, layer: LayerNode, realized: RealizedLayer, values: Range) -> ActivationQuantizer:
        bits = realized.precision.activation_bits
        if bits != _ACTIVATION_BITS:
            raise GraphFormError(
                f"{layer.name} asks for {bits}-bit activations: Q/DQ graphs hold {_ACTIVATION_BITS} bits"
            )
        return realized.activations([values])[0]

    def _quantize_activation(
        self, graph: ir.Graph, layer: LayerNode, quantizer: ActivationQuantizer
    ) -> ir.Value:
        name, activation = f"{layer.name}.input", layer.activation
        scale, zero_point = self._parameters(graph, name, quantizer)
        assert zero_point.dtype is not None
        quantize = new_node(
            "QuantizeLinear",
            f"{name}.quantized",
            [activation, scale, zero_point],
            dtype=zero_point.dtype,
            shape=activation.shape,
        )
        dequantize = new_node(
            "DequantizeLinear",
            f"{name}.dequantized",
            [quantize.outputs[0], scale, zero_point],
            dtype=self._float,
            shape=activation.shape,
        )
        # Right behind the tensor, not before this layer: the first of a pair's readers in the table need not
        # be the first in the graph (diffusers lists the mid block after the up blocks).
        producer = activation.producer()
        if producer is None:
            graph.insert_before(graph[0], [quantize, dequantize])
        else:
            graph.insert_after(producer, [quantize, dequantize])
        return dequantize.outputs[0]

    def _parameters(
        self, graph: ir.Graph, name: str, quantizer: ActivationQuantizer
    ) -> tuple[ir.Value, ir.Value]:
        scale = np.asarray(quantizer.scale, dtype=self.dialect.float_type)
        zero_point = np.asarray(quantizer.zero_point).astype(activation_type(quantizer.grid).numpy())
        return (
            add_initializer(graph, f"{name}.scale", scale),
            add_initializer(graph, f"{name}.zero_point", zero_point),
        )

    @property
    def _float(self) -> ir.DataType:
        return ir.DataType.from_numpy(np.dtype(self.dialect.float_type))
