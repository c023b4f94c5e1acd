"""How much of a graph is quantized, counted in the graph itself, without its plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

_LAYER_OPS = ("Conv", "Gemm", "MatMul")
_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


@dataclass(frozen=True, slots=True)
class Coverage:
    """The layers of a graph: its convolutions and matrix products by a constant, halves of a split as one.

    Attributes:
        layers: how many there are.
        weights: how many have all of their weights quantized.
        inputs: how many have all of their inputs quantized.
        stray: QuantizeLinear nodes that feed anything but a DequantizeLinear, and DequantizeLinear nodes
            that feed anything but layers.
    """

    layers: int
    weights: int
    inputs: int
    stray: int

    @classmethod
    def of(cls, graph: ir.Graph) -> Coverage:
        """Counts a graph's layers."""
        parts: dict[str, list[ir.Node]] = {}
        for node in graph:
            if _is_layer(node):
                parts.setdefault(split_half(node)[0], []).append(node)
        return cls(
            layers=len(parts),
            weights=sum(all(_dequantized(node.inputs[1]) for node in nodes) for nodes in parts.values()),
            inputs=sum(all(_is_pair(node.inputs[0]) for node in nodes) for nodes in parts.values()),
            stray=sum(1 for node in graph if not all(_wanted(node))),
        )

    def in_words(self) -> str:
        """`264 of 264 layers quantized (weights), 262 with quantized input; 0 stray Q/DQ`."""
        return (
            f"{self.weights} of {self.layers} layers quantized (weights), {self.inputs} with quantized "
            f"input; {self.stray} stray Q/DQ"
        )


def split_half(node: ir.Node) -> tuple[str, str | None]:
    """A node's layer, and `0` or `1` if the node is one half of a split shortcut; else None."""
    name, _, part = (node.name or "").rpartition(".")
    if part in ("0", "1") and name.endswith("conv_shortcut"):
        return name, part
    return node.name or "", None


def _is_layer(node: ir.Node) -> bool:
    if node.op_type not in _LAYER_OPS:
        return False
    weight = node.inputs[1]
    producer = _dequantized(weight)
    stored = weight if producer is None else producer.inputs[0]
    return stored is not None and stored.const_value is not None


def _dequantized(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that a value comes from."""
    producer = None if value is None else value.producer()
    return producer if producer is not None and producer.op_type == _DEQUANTIZE else None


def _is_pair(value: ir.Value | None) -> bool:
    """Whether a value comes from a QuantizeLinear and the DequantizeLinear behind it."""
    dequantize = _dequantized(value)
    stored = None if dequantize is None else dequantize.inputs[0]
    producer = None if stored is None else stored.producer()
    return producer is not None and producer.op_type == _QUANTIZE


def _wanted(node: ir.Node) -> Iterator[bool]:
    """Per reader of a Q or DQ node, whether it is of the kind that it should be."""
    if node.op_type == _QUANTIZE:
        yield from (reader.op_type == _DEQUANTIZE for reader in node.outputs[0].consumers())
    elif node.op_type == _DEQUANTIZE:
        yield from (_is_layer(reader) for reader in node.outputs[0].consumers())
