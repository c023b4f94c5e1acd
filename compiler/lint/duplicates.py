"""Rule `duplicate-qdq`."""

from __future__ import annotations

from collections.abc import Iterator

from mixdq.compiler.lint.finding import REBUILD, Finding
from mixdq.compiler.lint.subject import Subject, dequantized, origin, parameters, quantizers, scale_in_words

RULE = "duplicate-qdq"


def quantized_twice(subject: Subject) -> Iterator[Finding]:
    """One tensor is quantized once with one scale: all who read it so share one Q/DQ pair.

    Found: two QuantizeLinear of one tensor with equal parameters, and one behind a DequantizeLinear with its
    own parameters, which changes nothing. Tensors that were only reshaped count as the same.

    Prevents: a pass over the tensor for every reader instead of one, and projections of one input that the
    builder can't merge into one product (NVIDIA/TensorRT#1602): a cause of INT8 slower than FP16
    (NVIDIA/TensorRT#3724, #3776).
    """
    seen: dict[tuple[int, tuple[object, ...]], str] = {}
    for node in quantizers(subject.graph):
        name, same = node.name or "", parameters(node)
        before = dequantized(node.inputs[0])
        if before is not None and parameters(before) == same:
            found = f"quantizes what {before.name} dequantized with the same scale {scale_in_words(node)}"
            yield Finding(RULE, name, found, REBUILD)
        source = origin(node.inputs[0], whole=True)
        first = seen.setdefault((id(source), same), name)
        if first != name and source is not None:
            found = f"quantizes {source.name} with the scale {scale_in_words(node)}, as {first} does"
            yield Finding(RULE, name, found, REBUILD)
