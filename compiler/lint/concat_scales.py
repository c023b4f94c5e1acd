"""Rule `concat-scales`."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from mixdq.compiler.lint.finding import Finding
from mixdq.compiler.lint.subject import Subject, dequantized, parameters, readers, scale_in_words
from mixdq.passes.deviations import QUANTIZE

RULE = "concat-scales"
_TODO = "quantize behind the Concat alone, with one scale; or split the layer that reads it, a half each"


def scales_change_across_concat(subject: Subject) -> Iterator[Finding]:
    """Quantized tensors go through a Concat with one scale, which is that of what reads them behind it.

    Found: inputs that were dequantized with different parameters, and an input dequantized with others than
    the result is quantized with. Two scales are needed only where every half has a reader of its own: so the
    split shortcuts, whose halves never meet in a Concat, pass, and so does a Concat of floating-point tensors
    beside them.

    Prevents: numbers rounded twice, and a Concat that is no copy any more but a kernel that rescales
    (NVIDIA/TensorRT#4366: about 30 % slower; #3861).
    """
    for node in subject.graph:
        if node.op_type != "Concat":
            continue
        sources = [source for value in node.inputs if (source := dequantized(value)) is not None]
        if len({parameters(source) for source in sources}) > 1:
            scales = ", ".join(dict.fromkeys(scale_in_words(source) for source in sources))
            yield Finding(
                RULE, node.name or "", f"its inputs were dequantized with the scales {scales}", _TODO
            )
        elif sources:
            yield from _rescaled(node, sources[0])


def _rescaled(concat: ir.Node, source: ir.Node) -> Iterator[Finding]:
    for reader in readers(concat.outputs[0]):
        if reader.op_type == QUANTIZE and parameters(reader) != parameters(source):
            found = (
                f"takes numbers of the scale {scale_in_words(source)} from {source.name}, and {reader.name} "
                f"quantizes them with {scale_in_words(reader)}"
            )
            yield Finding(RULE, concat.name or "", found, _TODO)
