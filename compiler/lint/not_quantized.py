"""Rule `planned-not-quantized`."""

from __future__ import annotations

from collections.abc import Iterator

from mixdq.compiler.lint.finding import REBUILD, Finding
from mixdq.compiler.lint.subject import Subject
from mixdq.passes.deviations import DeviationKind, deviations

RULE = "planned-not-quantized"


def planned_but_not_quantized(subject: Subject) -> Iterator[Finding]:
    """What the plan quantizes is quantized: else the engine saves less memory and time than it promises.

    Prevents: an INT8 engine as large as the FP16 one (NVIDIA/TensorRT#3981), or as slow, because layers were
    skipped without a word (NVIDIA/TensorRT#4554).
    """
    if subject.planned is None:
        return
    plan, table = subject.planned.plan, subject.planned.table
    for found in deviations(subject.graph, plan, table, subject.dialect):
        if found.kind is DeviationKind.NOT_QUANTIZED:
            yield Finding(RULE, found.node, found.what, REBUILD)
