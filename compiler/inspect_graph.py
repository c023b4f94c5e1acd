"""An ONNX graph at a glance: operators, Q/DQ, BOS constants, split shortcuts, bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType

from mixdq.compiler.inspect_coverage import Coverage, split_half
from mixdq.configs.bundle import Component
from mixdq.configs.errors import GraphError
from mixdq.configs.target import Dialect

if TYPE_CHECKING:
    import onnx_ir as ir

_BOS_SUFFIX = ".attn2.to_k.bos", ".attn2.to_v.bos"
_SHOWN_OPERATORS = 10


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """What a graph holds.

    Attributes:
        operators: how many nodes of each type.
        constant_bytes: bytes of the constants, by their type.
        bos_constants: how many constants stand for token 0.
        bos_values: values in them, of one image.
        splits: per split shortcut the input channels of its halves.
        coverage: how much is quantized.
    """

    operators: Counter[str]
    constant_bytes: Counter[str]
    bos_constants: int
    bos_values: int
    splits: dict[str, tuple[int, int]]
    coverage: Coverage


def read_graph(path: Path) -> GraphFacts:
    """Reads a graph without its weights.

    Raises:
        GraphError: the file is no ONNX graph.
    """
    import onnx_ir as ir

    try:
        graph = ir.load(path).graph
    except Exception as error:
        raise GraphError(f"{path} is no ONNX graph that can be read: {error}") from error
    constants: Counter[str] = Counter()
    bos = []
    for name, value in graph.initializers.items():
        if value.const_value is not None:
            constants[value.const_value.dtype.name] += value.const_value.nbytes
            if name.endswith(_BOS_SUFFIX):
                bos.append(int(value.const_value.shape.numpy()[-1]))
    return GraphFacts(
        operators=Counter(node.op_type for node in graph),
        constant_bytes=constants,
        bos_constants=len(bos),
        bos_values=sum(bos),
        splits=_splits(graph),
        coverage=Coverage.of(graph),
    )


def _splits(graph: ir.Graph) -> dict[str, tuple[int, int]]:
    channels: dict[str, list[int]] = {}
    for node in graph:
        name, half = split_half(node)
        weight = node.inputs[1] if node.op_type == "Conv" else None
        if half is not None and weight is not None and weight.shape is not None:
            channels.setdefault(name, []).append(int(weight.shape.numpy()[1]))
    return {name: (parts[0], parts[1]) for name, parts in channels.items() if len(parts) == 2}


def show_unets(root: Path) -> Iterator[RenderableType]:
    """One UNet graph of each dialect in a folder, if it has any: resolutions differ in shapes alone."""
    for dialect in Dialect:
        for graph in sorted((root / "onnx" / dialect).glob(f"{Component.UNET}*.onnx"))[:1]:
            yield from show_graph(graph)


def show_graph(path: Path) -> Iterator[RenderableType]:
    """A graph in a few lines."""
    facts = read_graph(path)
    usual = ", ".join(f"{count} {name}" for name, count in facts.operators.most_common(_SHOWN_OPERATORS))
    yield f"{path.parent.name}/{path.name}: {sum(facts.operators.values())} nodes ({usual})"
    sizes = ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in facts.constant_bytes.most_common())
    yield f"  constants: {sizes}"
    yield (
        f"  Q/DQ: {facts.operators['QuantizeLinear']} QuantizeLinear, "
        f"{facts.operators['DequantizeLinear']} DequantizeLinear"
    )
    if facts.operators["DequantizeLinear"]:
        yield f"  {facts.coverage.in_words()}"
    if facts.bos_constants:
        yield f"  BOS: {facts.bos_constants} constants, {facts.bos_values:,} values"
    if facts.splits:
        parts = ", ".join(f"{name} {a} + {b}" for name, (a, b) in facts.splits.items())
        yield f"  split shortcuts: {len(facts.splits)} ({parts})"
