"""Rule `qdq-before-activation`."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from mixdq.compiler.lint.finding import REBUILD, Finding
from mixdq.compiler.lint.subject import Subject, origin, quantizers, readers
from mixdq.passes.layers import LAYER_OPS

RULE = "qdq-before-activation"
_ACTIVATIONS = (
    *("Relu", "LeakyRelu", "PRelu", "Clip", "Elu", "Selu", "Celu", "Sigmoid", "HardSigmoid", "HardSwish"),
    *("Swish", "Silu", "Mish", "Tanh", "Softplus", "Gelu", "Erf"),
)


def pair_between_layer_and_activation(subject: Subject) -> Iterator[Finding]:
    """Nothing is quantized between a convolution or product and its activation: the pair belongs behind both.

    The bias, where it is an Add of a constant, counts as part of the layer.

    Prevents: a kernel for the activation alone, with a pass over the tensor before and behind it. TensorRT
    fuses layer, bias and activation only if they are neighbours (its guide's advice on Q/DQ placement;
    NVIDIA/TensorRT#3861), and so does ONNX Runtime.
    """
    for node in quantizers(subject.graph):
        layer = _layer_before(node.inputs[0])
        if layer is None:
            continue
        for dequantize in node.outputs[0].consumers():
            for reader in readers(dequantize.outputs[0]):
                if reader.op_type in _ACTIVATIONS:
                    found = f"stands between {layer.name} and its activation {reader.name} ({reader.op_type})"
                    yield Finding(RULE, node.name or "", found, REBUILD)


def _layer_before(value: ir.Value | None) -> ir.Node | None:
    source = origin(value)
    node = source.producer() if source is not None else None
    if node is not None and node.op_type == "Add" and any(_constant(value) for value in node.inputs):
        source = origin(next(value for value in node.inputs if not _constant(value)))
        node = source.producer() if source is not None else None
    return node if node is not None and node.op_type in LAYER_OPS else None


def _constant(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None
