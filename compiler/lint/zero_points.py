"""Rule `zero-point`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mixdq.compiler.lint.finding import Finding
from mixdq.compiler.lint.subject import Subject
from mixdq.passes.deviations import DEQUANTIZE, QUANTIZE

RULE = "zero-point"
_TODO = "quantize symmetrically for TensorRT; an asymmetric range's centre goes into the bias instead"


def zero_point_off_zero(subject: Subject) -> Iterator[Finding]:
    """On TensorRT every zero point is a constant 0, in whatever network and for weights too.

    Prevents: a build that fails after half an hour of work before it: TensorRT's parser refuses any other
    ("TRT only supports symmetric quantization", NVIDIA/TensorRT#2774).
    """
    if not subject.dialect.symmetric:
        return
    for node in subject.graph:
        point = node.inputs[2] if node.op_type in (QUANTIZE, DEQUANTIZE) and len(node.inputs) > 2 else None
        if point is None:
            continue
        if point.const_value is None:
            yield Finding(RULE, node.name or "", "its zero point is no constant", _TODO)
            continue
        values = np.asarray(point.const_value.numpy(), dtype=np.float32)
        if np.any(values):
            off = values[values != 0].flat[0]
            yield Finding(RULE, node.name or "", f"its zero point is {off:g}, not 0", _TODO)
