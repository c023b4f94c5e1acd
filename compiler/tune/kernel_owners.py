"""To which layers a kernel of ONNX Runtime belongs, by the names of the graph that it was made from."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from mixdq.configs.layers import LayerName

if TYPE_CHECKING:
    import onnx

QUANTIZE_OPS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_MOVES = frozenset({"Reshape", "Transpose", "Slice", "Concat", "Split", "Squeeze", "Unsqueeze", "Identity"})
# What ONNX Runtime appends: a convolution in its blocked layout is named after its output, a copy of a node
# after the node, and a quantization that it moved through the graph after the value that it was moved to.
_APPENDED = re.compile(r"(_nchwc|_token_\d+|/duplicated|_q|_dq)$")


class KernelOwners:
    """The layers of a graph's kernels; its layers' nodes must have their names (`NameLayersPass`)."""

    def __init__(self, graph: onnx.GraphProto, layers: Collection[LayerName]) -> None:
        """Keeps the graph.

        Args:
            graph: the engine's graph; its weights are not needed.
            layers: the names of all layers.
        """
        self._layers = frozenset(layers)
        self._constants = {tensor.name for tensor in graph.initializer}
        self._found: dict[tuple[str, str], tuple[LayerName, ...]] = {}
        self._nodes: dict[str, onnx.NodeProto] = {}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            self._nodes |= {name: node for name in (node.name, *node.output) if name}
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def __call__(self, kernel: str, op_type: str) -> tuple[LayerName, ...]:
        """The layers because of which a kernel runs, each once; none if it belongs to no layer.

        A quantize/dequantize node belongs to all the quantized layers that it feeds: a shared pair is named
        after one of them alone.

        Args:
            kernel: its name in the profile.
            op_type: its kind.
        """
        if (kernel, op_type) not in self._found:
            self._found[kernel, op_type] = self._find(kernel, op_type)
        return self._found[kernel, op_type]

    def _find(self, kernel: str, op_type: str) -> tuple[LayerName, ...]:
        names = list(_stripped(kernel))
        if op_type in QUANTIZE_OPS:
            return self._quantization(names)
        for name in names:
            if (node := self._nodes.get(name)) is not None and (owner := self._owner(node)) is not None:
                return (owner,)
        own = self._named(kernel)
        return () if own is None else (own,)

    def _quantization(self, names: list[str]) -> tuple[LayerName, ...]:
        for name in names:
            node = self._nodes.get(name)
            if node is not None and node.op_type in QUANTIZE_OPS:
                if node.input[0] in self._constants:
                    own = self._named(node.name)
                    return () if own is None else (own,)
                return tuple(dict.fromkeys(self._fed(node.output[0], quantized=True)))
        for name in names:
            if name in self._readers:
                return tuple(dict.fromkeys(self._fed(name, quantized=False)))
        return ()

    def _fed(self, value: str, *, quantized: bool) -> Iterator[LayerName]:
        """The layers that read a value, perhaps moved, behind a quantization."""
        for node in self._readers.get(value, ()):
            if node.op_type in QUANTIZE_OPS:
                yield from self._fed(node.output[0], quantized=True)
            elif (owner := self._owner(node)) is not None:
                if quantized:
                    yield owner
            elif node.op_type in _MOVES:
                for name in node.output:
                    yield from self._fed(name, quantized=quantized)

    def _owner(self, node: onnx.NodeProto) -> LayerName | None:
        """The layer after which a node or a constant that it reads is named: its bias, say."""
        names = [node.name, *(name for name in node.input if name in self._constants)]
        return next((layer for name in names if (layer := self._named(name)) is not None), None)

    def _named(self, name: str) -> LayerName | None:
        """The layer whose name is the longest that this one begins with."""
        parts = name.split(".")
        for count in range(len(parts), 0, -1):
            if (prefix := LayerName(".".join(parts[:count]))) in self._layers:
                return prefix
        return None


def _stripped(kernel: str) -> Iterator[str]:
    """A kernel's name, and what remains of it as ONNX Runtime's endings are taken off."""
    while True:
        yield kernel
        if (shorter := _APPENDED.sub("", kernel)) == kernel:
            return
        kernel = shorter
