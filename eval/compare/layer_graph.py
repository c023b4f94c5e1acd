"""One layer of a UNet graph by itself, with its Q/DQ, split and BOS constant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx.external_data_helper import load_external_data_for_model

from mixdq.compiler.unet_session import Array, feeds, open_session
from mixdq.configs.errors import GraphError
from mixdq.configs.layers import LayerSpec
from mixdq.eval.compare.planned import Planned
from mixdq.passes.center_activations import uncentered, with_centers_product
from mixdq.passes.layers import part_names
from mixdq.passes.precompute_bos import TEXT_INPUT


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """A layer's part of a graph.

    Attributes:
        model: the nodes and constants between its inputs and its output; nothing outside the file.
        inputs: the names of the values that it reads: one, or two for a split shortcut.
        output: the name of the value that it gives.
        split: the first half's channels; None for a layer that is not split.
    """

    model: onnx.ModelProto
    inputs: tuple[str, ...]
    output: str
    split: int | None

    def feed(self, activation: Array) -> dict[str, Array]:
        """The inputs by name, of the layer's whole input."""
        halves = [activation]
        if self.split is not None:
            halves = [activation[:, : self.split], activation[:, self.split :]]
        return dict(zip(self.inputs, halves, strict=True))

    def run(self, activation: Array) -> Array:
        """The layer's output in ONNX Runtime, in FP32.

        Args:
            activation: the layer's whole input, representable in the graph's floating-point type.
        """
        session = open_session(self.model.SerializeToString())
        output: Array = session.run(None, feeds(session, self.feed(activation)))[0]
        return output.astype(np.float32)


class LayerGraphs:
    """The layers of one UNet graph, each by itself."""

    def __init__(self, path: Path, planned: Planned) -> None:
        """Reads a graph; its constants are read when a layer is asked for.

        Args:
            path: the graph, its external data beside it.
            planned: what it must hold.

        Raises:
            GraphError: there is none that can be read.
        """
        try:
            self.model = ir.load(path)
        except Exception as error:  # protobuf's decoder raises types of its own
            raise GraphError(f"{path} is no ONNX graph that can be read: {error}") from error
        self._folder, self._planned = path.parent, planned
        self.nodes: Mapping[str, ir.Node] = {node.name: node for node in self.model.graph if node.name}

    def parts(self, layer: LayerSpec) -> tuple[ir.Node, ...]:
        """A layer's node, or the two of a split shortcut.

        Raises:
            GraphError: the graph has no such node.
        """
        return tuple(self._node(name) for name in part_names(layer, self._planned.plan))

    def extract(self, layer: LayerSpec) -> LayerGraph:
        """One layer's part of the graph.

        Raises:
            GraphError: the graph has no such layer, or the layer reads something else than it should.
        """
        plan = self._planned.plan
        starts = [source_of(node) for node in self.parts(layer)]
        if plan.takes_bos_out(layer):
            starts = [value for value in self.model.graph.inputs if value.name == TEXT_INPUT]
        end = self._end(layer)
        names = tuple(str(value.name) for value in starts)
        split = layer.split if plan.splits(layer) else None
        return LayerGraph(self._between(starts, end), names, str(end.name), split)

    def _between(self, starts: list[ir.Value], end: ir.Value) -> onnx.ModelProto:
        graph, nodes, constants = self.model.graph, set[ir.Node](), dict[str, ir.TensorProtocol]()
        wanted = [end]
        while wanted:
            value = wanted.pop()
            producer = value.producer()
            if any(value is start for start in starts):
                continue
            if value.const_value is not None and producer is None:
                constants[str(value.name)] = value.const_value
            elif producer is None:
                raise GraphError(
                    f"{end.name} depends on {value.name}, which the layer does not read; the graph was made "
                    "with another plan"
                )
            elif producer not in nodes:
                nodes.add(producer)
                wanted += [value for value in producer.inputs if value is not None]
        part = onnx.helper.make_graph(
            [ir.to_proto(node) for node in graph if node in nodes],
            str(end.name),
            [ir.to_proto(value) for value in starts],
            [ir.to_proto(end)],
            [ir.to_proto(tensor) for tensor in constants.values()],
        )
        opsets = [onnx.helper.make_opsetid(*item) for item in graph.opset_imports.items()]
        model = onnx.helper.make_model(part, ir_version=self.model.ir_version, opset_imports=opsets)
        load_external_data_for_model(model, str(self._folder))
        return model

    def _end(self, layer: LayerSpec) -> ir.Value:
        plan = self._planned.plan
        if plan.splits(layer):
            return self._node(f"{layer.name}.sum").outputs[0]
        if plan.takes_bos_out(layer):
            return self._node(f"{layer.name}.with_bos").outputs[0]
        node = self._node(layer.name)
        if (whole := with_centers_product(node)) is not node.outputs[0]:
            return whole
        added = [user for user in node.outputs[0].consumers() if user.op_type == "Add"]
        return added[0].outputs[0] if node.op_type == "MatMul" and layer.has_bias else node.outputs[0]

    def _node(self, name: str) -> ir.Node:
        if name not in self.nodes:
            raise GraphError(
                f"the graph has no node named {name}, which the plan asks for; it was made with another "
                "plan, or of another model"
            )
        return self.nodes[name]


def source_of(node: ir.Node) -> ir.Value:
    """The floating-point value that a layer's quantized input came from."""
    value = node.inputs[0]
    while (
        value is not None
        and (producer := value.producer()) is not None
        and producer.op_type in ("QuantizeLinear", "DequantizeLinear")
    ):
        value = producer.inputs[0]
    assert value is not None
    return uncentered(value)
