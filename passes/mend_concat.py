"""Mends the one invalid node that the exporter leaves."""

from __future__ import annotations

import onnx_ir as ir

from mixdq.passes.layers import new_node


class MendConcatPass(ir.passes.InPlacePass):
    """Casts FP32 inputs of a Concat to FP16 where another input is FP16.

    SDXL's `text_time` conditioning concatenates FP16 text embeddings with FP32 sinusoids. torch promotes
    and casts back; the exporter writes the Concat without the casts, which ONNX and TensorRT refuse.
    """

    def __str__(self) -> str:
        return "MendConcatPass()"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Inserts a Cast for every wrong input, and types the output FP16."""
        modified = False
        for node in list(model.graph):
            types = {value.dtype for value in node.inputs if value is not None}
            if node.op_type == "Concat" and types == {ir.DataType.FLOAT, ir.DataType.FLOAT16}:
                _mend(model.graph, node)
                modified = True
        return ir.passes.PassResult(model, modified)


def _mend(graph: ir.Graph, node: ir.Node) -> None:
    for index, value in enumerate(node.inputs):
        if value is None or value.dtype is not ir.DataType.FLOAT:
            continue
        cast = new_node(
            "Cast",
            f"{node.name}.input_{index}.fp16",
            [value],
            dtype=ir.DataType.FLOAT16,
            shape=value.shape,
            attributes={"to": ir.DataType.FLOAT16.value},
        )
        graph.insert_before(node, cast)
        node.replace_input_with(index, cast.outputs[0])
    node.outputs[0].dtype = ir.DataType.FLOAT16
