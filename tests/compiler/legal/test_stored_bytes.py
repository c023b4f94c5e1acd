from __future__ import annotations

import math
from pathlib import Path

import onnx
import pytest

from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.legalize import legalize
from mixdq.compiler.legal.totals import real_totals
from mixdq.configs.capability import find_capability
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan

_BYTES = {onnx.TensorProto.INT8: 1, onnx.TensorProto.FLOAT16: 2, onnx.TensorProto.FLOAT: 4}


@pytest.mark.parametrize(("target", "dialect"), [("cpu", "ort"), ("rtx:sm89", "tensorrt")])
def test_the_bytes_that_are_said_are_those_in_the_compiled_graph(
    tiny_run: Path, target: str, dialect: str
) -> None:
    table, plan = LayerTable.read(tiny_run / "layers.json"), PrecisionPlan.read(tiny_run / "plan.yaml")
    rules = Rules(find_capability(target), None, unwritten=False)
    made = legalize(plan, table, rules, strict=True)
    assert made.plan.layers == plan.layers
    assert all(precision.quantizes_weight for precision in plan.layers.values())
    (graph,) = (tiny_run / "onnx" / dialect).glob("unet*.onnx")
    stored = [
        math.prod(tensor.dims) * _BYTES[tensor.data_type]
        for tensor in onnx.load(graph, load_external_data=False).graph.initializer
        if tensor.name.endswith((".weight.quantized", ".weight.scale"))
    ]
    found = real_totals(made.plan, table, 64, rules.capability.table.float_bytes)
    assert found.bytes == sum(stored)
