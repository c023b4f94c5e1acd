"""Rule `planned-form`."""

from __future__ import annotations

from collections.abc import Iterator

from mixdq.compiler.lint.finding import REBUILD, Finding
from mixdq.compiler.lint.subject import Subject
from mixdq.passes.deviations import DeviationKind, deviations

RULE = "planned-form"


def other_than_the_planned_form(subject: Subject) -> Iterator[Finding]:
    """What is quantized has the form that its back end takes for integers, and BOS stays out of it.

    Scales of the dialect's type, one an output channel for weights and one for an activation, the same to
    quantize and to dequantize; token 0 of the text beside the quantized path, not in it.

    Prevents: a product that a builder accepts and computes in floating point, or wrongly and silently
    (NVIDIA/TensorRT#4813); with token 0 in the range, the loss that the paper's section 3.1 is about.
    """
    if subject.planned is None:
        return
    plan, table = subject.planned.plan, subject.planned.table
    for found in deviations(subject.graph, plan, table, subject.dialect):
        if found.kind is DeviationKind.FORM:
            yield Finding(RULE, found.node, found.what, REBUILD)
