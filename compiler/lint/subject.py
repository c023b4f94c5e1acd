"""What the rules look at: one final graph and what was planned for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.target import Dialect
from mixdq.passes.deviations import DEQUANTIZE, QUANTIZE, produced_by
from mixdq.passes.layers import part_names

# What moves numbers about and changes none: all of them, or some.
_RESHAPES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Flatten")
_MOVES = (*_RESHAPES, "Slice", "Split", "Expand")


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and the layers that it is for."""

    plan: PrecisionPlan
    table: LayerTable


def quantized_inputs(planned: Planned) -> Iterator[str]:
    """The nodes of the layers whose input the plan quantizes."""
    for layer in planned.table:
        if planned.plan[layer.name].quantizes_activation:
            yield from part_names(layer, planned.plan)


@dataclass(frozen=True, slots=True)
class Subject:
    """A graph as a builder reads it.

    Attributes:
        name: the file, relative to its bundle: `onnx/tensorrt/unet-512.onnx`.
        graph: its nodes; constants beyond a kilobyte are read only when somebody asks for their values.
        dialect: the form that its back end reads.
        planned: None for the networks that no plan quantizes.
    """

    name: str
    graph: ir.Graph
    dialect: Dialect
    planned: Planned | None


def origin(value: ir.Value | None, *, whole: bool = False) -> ir.Value | None:
    """Where a tensor's numbers come from: itself, or what was only moved to make it.

    Args:
        value: the tensor.
        whole: go no further than tensors with the same numbers, in another shape.
    """
    moves = _RESHAPES if whole else _MOVES
    while value is not None and (node := value.producer()) is not None and node.op_type in moves:
        value = node.inputs[0]
    return value


def readers(value: ir.Value) -> Iterator[ir.Node]:
    """The nodes that compute with a tensor, as it is or after it was only moved."""
    for node in value.consumers():
        if node.op_type in _MOVES:
            for output in node.outputs:
                yield from readers(output)
        else:
            yield node


def quantizers(graph: ir.Graph) -> Iterator[ir.Node]:
    """The QuantizeLinear nodes of a graph."""
    return (node for node in graph if node.op_type == QUANTIZE)


def dequantized(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that a tensor comes from, as it is or after it was only moved."""
    return produced_by(origin(value), DEQUANTIZE)


def parameters(node: ir.Node) -> tuple[object, ...]:
    """A quantizer's axis, scale and zero point, to be compared: constants by their type and numbers."""
    axis = node.attributes.get_int("axis", 1)
    return axis, *(_content(value) for value in node.inputs[1:3])


def scale_in_words(node: ir.Node) -> str:
    """A quantizer's scale: `0.0123`, or what it is if it is not one number."""
    scale = node.inputs[1]
    if scale is None or scale.const_value is None:
        return "computed"
    if scale.const_value.size == 1:
        return f"{float(scale.const_value.numpy().reshape(())):.4g}"
    return f"{scale.const_value.size} numbers"


def _content(value: ir.Value | None) -> object:
    if value is None or value.const_value is None:
        return value
    tensor = value.const_value
    return tensor.dtype, tuple(tensor.shape), tensor.tobytes()
