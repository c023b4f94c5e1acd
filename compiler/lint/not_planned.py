"""Rule `quantized-not-planned`."""

from __future__ import annotations

from collections.abc import Iterator

from mixdq.compiler.lint.finding import REBUILD, Finding
from mixdq.compiler.lint.subject import Subject
from mixdq.passes.deviations import DEQUANTIZE, QUANTIZE, DeviationKind, deviations

RULE = "quantized-not-planned"


def quantized_but_not_planned(subject: Subject) -> Iterator[Finding]:
    """What the plan keeps is not quantized: protected layers, attention's products, norms, sums, the VAE.

    Prevents: bad or black pictures from INT8 where the search, or nobody, allowed it
    (NVIDIA/TensorRT#2943, NVIDIA/Model-Optimizer#32).
    """
    if subject.planned is None:
        for node in subject.graph:
            if node.op_type in (QUANTIZE, DEQUANTIZE):
                yield Finding(
                    RULE, node.name or "", f"{node.op_type} in a network that no plan covers", REBUILD
                )
        return
    plan, table = subject.planned.plan, subject.planned.table
    for found in deviations(subject.graph, plan, table, subject.dialect):
        if found.kind is DeviationKind.NOT_PLANNED:
            yield Finding(RULE, found.node, found.what, REBUILD)
