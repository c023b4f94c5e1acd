"""NumPy's definition, torch's simulation and Q/DQ in ONNX Runtime give the same numbers, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch

from mixdq.configs.quantizer import activation_quantizer, dequantize, quantize
from mixdq.configs.ranges import Range
from mixdq.configs.target import Dialect
from mixdq.export.simulate import fake_quantize
from mixdq.passes.insert_qdq import InsertQdqPass

Make = Callable[..., Any]

# An identity matrix shows what the layer gets: nothing but its quantized input.
_TEXT = """<ir_version: 10, opset_import: ["" : 21]>
g (float[N,1] x) => (float[N,1] y) <float[1,1] w = {1}> { ["one"] y = MatMul (x, w) }"""


def _values(low: float, high: float, scale: float, dtype: str) -> np.ndarray:
    draw = np.random.default_rng(0)
    inside = draw.uniform(low, high, 20_000)
    beyond = draw.normal(scale=3 * max(abs(low), high), size=2_000)
    ties = (np.arange(-300, 300) + 0.5) * scale
    return np.concatenate([inside, beyond, ties, [0.0, -0.0, low, high]]).astype(dtype)[:, None]


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    "values", [(-1.7, 2.9), (-0.31, 0.02), (0.0, 6.3), (-4.0, 0.0), (-0.5, 127 / 256), (-90.0, 3000.0)]
)
def test_the_three_realizations_agree(
    make_table: Make,
    make_plan: Make,
    make_ranges: Make,
    run_graph: Make,
    dialect: Dialect,
    values: tuple[float, float],
) -> None:
    quantizer = activation_quantizer(
        Range(*values), 8, symmetric=dialect.symmetric, scale_type=dialect.float_type
    )
    x = _values(*values, float(quantizer.scale), dialect.float_type)
    integers = quantize(x, quantizer.scale, quantizer.zero_point, quantizer.grid)
    reference = dequantize(integers, quantizer.scale, quantizer.zero_point).astype(x.dtype)

    simulated = fake_quantize(torch.from_numpy(x), quantizer).numpy()
    np.testing.assert_array_equal(simulated, reference)

    table = make_table({"one": (1, 1)})
    model = ir.from_onnx_text(_TEXT.replace("N", str(len(x))))
    _retype(model, dialect)
    InsertQdqPass(make_plan(table, "W8A8"), table, make_ranges(table, values), dialect)(model)
    quantized = next(node for node in model.graph if node.op_type == "QuantizeLinear").outputs[0]
    real = next(node for node in model.graph if node.name == "one.input.dequantized").outputs[0]
    model.graph.outputs[:] = [quantized, real]
    found_integers, found = run_graph(model, {"x": x})
    np.testing.assert_array_equal(found_integers, integers)
    np.testing.assert_array_equal(found, reference)
    assert len(np.unique(integers)) > 100  # the comparison is of many steps


def _retype(model: ir.Model, dialect: Dialect) -> None:
    dtype = ir.DataType.from_numpy(np.dtype(dialect.float_type))
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.dtype = dtype
    weight = model.graph.initializers["w"]
    weight.const_value = ir.tensor(np.ones((1, 1), dtype=dialect.float_type), name="w")
    weight.dtype = dtype
