"""Rule `matrix-vector`."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import onnx_ir as ir

from mixdq.compiler.lint.finding import Finding, Severity
from mixdq.compiler.lint.subject import Subject
from mixdq.configs.layers import LayerName
from mixdq.passes.deviations import DEQUANTIZE, produced_by
from mixdq.passes.layers import LayerNode, layer_nodes

RULE = "matrix-vector"


def quantized_matrix_vector_layer(subject: Subject) -> Iterator[Finding]:
    """A product with one vector an image, as the time embeddings are, is quantized only if the plan asks.

    Its time goes into reading the weight once, so INT8 arithmetic gains nothing, and a pair costs a kernel as
    long as the product's; its result changes every layer that the time reaches. A plan may still want it, to
    save the weight's bytes: then it is a note, and says whether the input is quantized as well.

    Prevents: INT8 slower than FP16 where products are too small for it (NVIDIA/TensorRT#3710, #2905). Tools
    that are published leave such layers out.
    """
    batch = _batch(subject.graph)
    for name, part in layer_nodes(subject.graph).items():
        weight = produced_by(part.weight, DEQUANTIZE) is not None
        activation = produced_by(part.activation, DEQUANTIZE) is not None
        if not (weight or activation) or not _takes_one_vector(part, batch):
            continue
        what = "weight and input are" if weight and activation else "weight is" if weight else "input is"
        if _asked(subject, name):
            todo = "nothing, if it is meant; else `mixdq-compile plan --keep` these layers, or protect them"
            yield Finding(RULE, name, f"one vector an image, and its {what} quantized", todo, Severity.NOTE)
        else:
            todo = "leave the layer in floating point, or plan it"
            yield Finding(RULE, name, f"one vector an image, its {what} quantized, and no plan asks", todo)


def _takes_one_vector(part: LayerNode, batch: int | None) -> bool:
    shape = part.activation.shape
    if part.node.op_type == "Conv" or shape is None or batch is None:
        return False
    rows = [size for size in shape[:-1] if isinstance(size, int)]
    return len(rows) == len(shape) - 1 and prod(rows) == batch


def _batch(graph: ir.Graph) -> int | None:
    shape = graph.inputs[0].shape if graph.inputs else None
    size = shape[0] if shape is not None and len(shape) else None
    return size if isinstance(size, int) else None


def _asked(subject: Subject, node: str) -> bool:
    planned = subject.planned
    name = LayerName(node)
    return planned is not None and name in planned.plan.layers and planned.plan[name].quantizes_weight
