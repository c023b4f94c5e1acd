"""BOS-aware cross-attention: token 0 leaves the quantized path (paper, section 3.1)."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.passes.errors import GraphFormError
from mixdq.passes.layers import LayerNode, add_initializer, layer_nodes, new_node

TEXT_INPUT = "encoder_hidden_states"
"""The graph's input that holds the text embedding, `[batch, tokens, channels]`."""

TOKENS_NAME = "encoder_hidden_states.without_bos"
"""The text embedding's tokens 1 to 76, one value for all layers that read it."""


def bos_constant_name(layer: str) -> str:
    """The constant that holds a layer's output for token 0."""
    return f"{layer}.bos"


class PrecomputeBosPass(ir.passes.InPlacePass):
    """Replaces `K = text W` by `K = concat(bos W, text[1:] W)`, with `bos W` a constant.

    The first row of the text embedding is the same for every prompt and an outlier (SDXL: 823 against 10 to
    15), which would stretch the activation's range. Its products are computed here in FP64 and stored in
    the graph's own type: `[batch, 1, channels]` a layer.
    """

    def __init__(self, plan: PrecisionPlan, table: LayerTable, ranges: RangeTable) -> None:
        self.layers = [layer for layer in table if plan.takes_bos_out(layer)]
        self.ranges = ranges

    def __str__(self) -> str:
        return f"PrecomputeBosPass({len(self.layers)} layers)"

    def requires(self, model: ir.Model) -> None:
        """The BOS row is constant, and every layer reads the text input directly at its width.

        Raises:
            ModelError: the BOS row changes with the prompt.
            GraphFormError: a layer reads something else.
        """
        bos = self.ranges.constant_bos() if self.layers else ()
        nodes = layer_nodes(model.graph)
        for layer in self.layers:
            if layer.name not in nodes:
                raise GraphFormError(f"the graph has no node named {layer.name}; export the model again")
            if nodes[layer.name].activation.name != TEXT_INPUT:
                raise GraphFormError(
                    f"{layer.name} reads {nodes[layer.name].activation.name}, not {TEXT_INPUT}: "
                    "the pass ran before, or this is no cross-attention of SDXL's form"
                )
            if (wanted := layer.weight_shape[1]) != len(bos):
                raise GraphFormError(f"the BOS row has {len(bos)} values, {layer.name} reads {wanted}")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """One Slice for all layers; per layer a constant and a Concat."""
        if not self.layers:
            return ir.passes.PassResult(model, modified=False)
        nodes = layer_nodes(model.graph)
        tokens = _slice_tokens(model.graph)
        bos = np.asarray(self.ranges.constant_bos(), dtype=np.float64)
        for layer in self.layers:
            _split_tokens(model.graph, nodes[layer.name], tokens, bos)
        return ir.passes.PassResult(model, modified=True)


def _slice_tokens(graph: ir.Graph) -> ir.Value:
    text = next(value for value in graph.inputs if value.name == TEXT_INPUT)
    assert text.shape is not None
    assert text.dtype is not None
    batch, tokens, channels = text.shape
    bounds = [
        add_initializer(graph, f"{TOKENS_NAME}.{what}", np.array([number], dtype=np.int64))
        for what, number in (("start", 1), ("end", tokens), ("axis", 1))
    ]
    assert isinstance(tokens, int)
    shape = ir.Shape([batch, tokens - 1, channels])
    node = new_node("Slice", TOKENS_NAME, [text, *bounds], dtype=text.dtype, shape=shape)
    graph.insert_before(graph[0], node)
    return node.outputs[0]


def _split_tokens(graph: ir.Graph, layer: LayerNode, tokens: ir.Value, bos: np.ndarray) -> None:
    output = layer.node.outputs[0]
    assert output.shape is not None
    assert output.dtype is not None
    batch, count, channels = output.shape
    assert isinstance(batch, int)
    assert isinstance(count, int)
    weight = layer.weight_array()
    row = bos @ weight if layer.channel_axis == 1 else weight @ bos
    rows = np.broadcast_to(row.astype(output.dtype.numpy()), (batch, 1, row.size))
    constant = add_initializer(graph, bos_constant_name(layer.name), rows)
    concat = new_node(
        "Concat",
        f"{layer.name}.with_bos",
        [constant, output],
        dtype=output.dtype,
        shape=ir.Shape([batch, count, channels]),
        attributes={"axis": 1},
    )
    output.replace_all_uses_with(concat.outputs[0])
    concat.replace_input_with(1, output)
    layer.node.replace_input_with(0, tokens)
    output.shape = ir.Shape([batch, count - 1, channels])
    graph.insert_after(layer.node, concat)
