"""To which layers one of TensorRT's belongs, by the names of the graph's nodes that it holds."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mixdq.compiler.tune.instrument import KernelRun
from mixdq.compiler.tune.kernel_owners import QUANTIZE_OPS, KernelOwners
from mixdq.configs.layers import LayerName

if TYPE_CHECKING:
    import onnx

_NODE = re.compile(r"[\w./]+")


class TensorRtOwners:
    """The layers of TensorRT's, each of which may hold several nodes: a convolution and its activation.

    TensorRT joins the names of what it fuses, or, where it makes up a name (`__myl_...`), gives them in the
    inspector's metadata if the engine was built with detailed information.
    """

    def __init__(
        self, graph: onnx.GraphProto, layers: Collection[LayerName], information: Mapping[str, Any]
    ) -> None:
        """Keeps what names say.

        Args:
            graph: the graph that the engine was built from; its weights are not needed.
            layers: the names of all layers.
            information: the engine inspector's answer (`Layers`, each with `Name` and `Metadata`, or a name).
        """
        self._owners = KernelOwners(graph, layers)
        self._kinds = {node.name: node.op_type for node in graph.node}
        self._metadata = {
            str(layer["Name"]): str(layer.get("Metadata", ""))
            for layer in information.get("Layers", ())
            if isinstance(layer, dict) and "Name" in layer
        }
        self._found: dict[str, tuple[LayerName, ...]] = {}

    def run(self, times: Sequence[tuple[str, float]]) -> KernelRun:
        """One run's microseconds by layer, of TensorRT's; one that holds several is divided evenly."""
        layers: defaultdict[LayerName, float] = defaultdict(float)
        rest = 0.0
        for name, spent in times:
            found = self(name)
            for layer in found:
                layers[layer] += spent / len(found)
            if not found:
                rest += spent
        return KernelRun(dict(layers), rest)

    def __call__(self, name: str) -> tuple[LayerName, ...]:
        """The layers whose own nodes one of TensorRT's holds; else those that its quantizations feed."""
        if name not in self._found:
            self._found[name] = self._find(f"{name} {self._metadata.get(name, '')}")
        return self._found[name]

    def _find(self, text: str) -> tuple[LayerName, ...]:
        nodes = [word for word in dict.fromkeys(_NODE.findall(text)) if word in self._kinds]
        own = [node for node in nodes if self._kinds[node] not in QUANTIZE_OPS]
        for some in (own, nodes):
            found = dict.fromkeys(layer for node in some for layer in self._owners(node, self._kinds[node]))
            if found:
                return tuple(found)
        return ()
