"""Every form that is written: NumPy's definition, torch's simulation and the graph in ONNX Runtime agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from mixdq.configs.clipping import Rounder, nearest_even
from mixdq.configs.errors import GraphError, PlanError
from mixdq.configs.form import Form, WeightFormat
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan, Realization
from mixdq.configs.quantizer import Grid
from mixdq.configs.quantizing import Clipping
from mixdq.configs.realized import RealizedLayer
from mixdq.configs.target import Dialect
from mixdq.export.simulate import SimulatedLayer, fake_quantize
from mixdq.passes.check_form import CheckFormPass
from mixdq.passes.errors import GraphFormError
from mixdq.passes.insert_qdq import InsertQdqPass
from mixdq.passes.layers import add_initializer
from mixdq.passes.pipeline import apply

Make = Callable[..., Any]
Array = np.ndarray[Any, Any]

_ROWS, _SHAPE, _KERNEL = 24, (20, 128), (20, 128, 1, 3)
_TYPES = {WeightFormat.INT8: "INT8", WeightFormat.INT4: "INT4", WeightFormat.FP8: "FLOAT8E4M3FN"}

# One layer each, its weight put in afterwards: a MatMul's is [in, out], those of the others [out, in, ...].
_GRAPHS = {
    "MatMul": "(float16[24,128] x) => (float16[24,20] y) { %s MatMul (x, x) }",
    "Gemm": "(float16[24,128] x) => (float16[24,20] y) { %s Gemm <transB = 1> (x, x) }",
    "Conv": "(float16[1,128,1,24] x) => (float16[1,20,1,22] y) { %s Conv (x, x) }",
}
_LINEAR = [
    *("int4:channel/float", "int4:block32/float", "int4:block64/float", "int4:block128/float"),
    *("int4:channel/int8", "int8:channel/float", "int8:channel/int8", "fp8:tensor/fp8", "fp8:channel/fp8"),
]
_CASES = [
    *((operator, form) for operator in ("MatMul", "Gemm") for form in _LINEAR),
    *(
        ("Conv", form)
        for form in ("int4:channel/float", "int8:channel/int8", "fp8:tensor/fp8", "fp8:channel/fp8")
    ),
]


def _weight(operator: str) -> Array:
    draw = np.random.default_rng(1)
    shape = _KERNEL if operator == "Conv" else _SHAPE
    # Channels of very different sizes, one of them zero, and large values here and there.
    weight = draw.standard_normal(shape) * np.geomspace(1e-3, 1, 20).reshape(-1, *[1] * (len(shape) - 1))
    weight[:, ::17] *= 4
    weight[3] = 0
    return weight.astype(np.float16)


def _model(operator: str, dialect: Dialect) -> ir.Model:
    text = _GRAPHS[operator] % '["one"] y ='
    model = ir.from_onnx_text(f'<ir_version: 11, opset_import: ["" : 23]> g {text}')
    if dialect is Dialect.ORT:
        for value in (*model.graph.inputs, *model.graph.outputs):
            value.dtype = ir.DataType.FLOAT
    weight = _weight(operator)
    array = (weight.T if operator == "MatMul" else weight).astype(dialect.float_type)
    layer = next(node for node in model.graph if node.name == "one")
    layer.replace_input_with(1, add_initializer(model.graph, "w", array))
    return model


def _table(make_table: Make, operator: str) -> LayerTable:
    table: LayerTable = make_table({"one": _KERNEL if operator == "Conv" else _SHAPE})
    return table


def _realized(
    make_plan: Make, table: LayerTable, form: str, target: str = "rtx:sm89", **others: Any
) -> PrecisionPlan:
    parsed = Form.parse(form)
    plan: PrecisionPlan = make_plan(table, str(parsed.precision))
    return replace(plan, realization=Realization(target, dict.fromkeys(plan.layers, parsed)), **others)


def _constant(model: ir.Model, name: str) -> Array:
    value = model.graph.initializers[name].const_value
    assert value is not None
    return value.numpy().astype(np.float32)


def _x(operator: str, dialect: Dialect) -> Array:
    draw = np.random.default_rng(2)
    x = draw.normal(0, 2, (_ROWS, 128)).astype(dialect.float_type)
    return x.T.reshape(1, 128, 1, _ROWS) if operator == "Conv" else x


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(("operator", "form"), _CASES)
def test_every_form_is_the_same_in_numpy_in_torch_and_in_the_graph(
    make_table: Make,
    make_plan: Make,
    make_ranges: Make,
    run_graph: Make,
    operator: str,
    form: str,
    dialect: Dialect,
) -> None:
    table = _table(make_table, operator)
    plan, ranges = _realized(make_plan, table, form), make_ranges(table, (-5, 4))
    model = _model(operator, dialect)
    assert InsertQdqPass(plan, table, ranges, dialect)(model).modified
    apply(ir.passes.Sequential(CheckFormPass(plan, table, dialect)), model)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)

    layer = table.layers[0]
    realized = RealizedLayer.of(plan, layer, dialect)
    weight = _weight(operator).astype(np.float32)
    scales = realized.weight.scales(weight, outputs=0)
    numbers = realized.weight.quantize(weight, scales, outputs=0)
    expected = realized.weight.dequantize(numbers, scales, outputs=0).astype(dialect.float_type)
    inputs_first = operator == "MatMul"

    constant = model.graph.initializers["one.weight.quantized"].const_value
    assert constant is not None
    assert constant.dtype.name == _TYPES[realized.form.weight]
    stored = constant.numpy().astype(np.float32)
    np.testing.assert_array_equal(stored.T if inputs_first else stored, numbers)
    assert constant.nbytes == numbers.size * realized.form.weight.bits // 8

    model.graph.outputs[:] = [next(n for n in model.graph if n.name == "one").inputs[1]]  # type: ignore[list-item]
    found = run_graph(model, {"x": _x(operator, dialect)})[0]
    np.testing.assert_array_equal(found.T if inputs_first else found, expected)

    original = (
        nn.Conv2d(128, 20, (1, 3), bias=False) if operator == "Conv" else nn.Linear(128, 20, bias=False)
    )
    original.weight.data = torch.from_numpy(weight)
    quantizers = realized.activations(ranges.input_ranges(layer, plan)) if "/float" not in form else None
    simulated = SimulatedLayer.planned(original, layer, plan, quantizers, dialect)
    np.testing.assert_array_equal(simulated.weights[0].numpy().astype(dialect.float_type), expected)
    assert len(np.unique(numbers)) > 12


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("form", ["fp8:tensor/fp8", "int4:channel/int8"])
def test_a_quantized_input_is_the_same_in_torch_and_in_the_graph(
    make_table: Make, make_plan: Make, make_ranges: Make, run_graph: Make, form: str, dialect: Dialect
) -> None:
    table = _table(make_table, "MatMul")
    plan, ranges = _realized(make_plan, table, form), make_ranges(table, (-5, 4))
    model, x = _model("MatMul", dialect), _x("MatMul", dialect)
    x[0, :8] = [0, -0.0, 5, -5, 100, -100, 2e-3, 1e-5]
    InsertQdqPass(plan, table, ranges, dialect)(model)
    model.graph.outputs[:] = [next(n for n in model.graph if n.name == "one").inputs[0]]  # type: ignore[list-item]
    found = run_graph(model, {"x": x})[0]
    quantizer = RealizedLayer.of(plan, table.layers[0], dialect).activations([ranges["one"][0]])[0]
    np.testing.assert_array_equal(found, fake_quantize(torch.from_numpy(x), quantizer).numpy())
    assert 100 < len(np.unique(found)) < 256
    assert quantizer.zero_point == 0


def test_scales_of_least_squared_error_are_the_graphs_and_the_simulations(
    make_table: Make, make_plan: Make, make_ranges: Make
) -> None:
    table = _table(make_table, "MatMul")
    plan = _realized(make_plan, table, "int4:block32/float", weight_clipping=Clipping.MSE)
    model = _model("MatMul", Dialect.TENSORRT)
    InsertQdqPass(plan, table, make_ranges(table), Dialect.TENSORRT)(model)
    scale = model.graph.initializers["one.weight.scale"].const_value
    assert scale is not None
    weight = _weight("MatMul").astype(np.float32)
    realized = RealizedLayer.of(plan, table.layers[0], Dialect.TENSORRT)
    np.testing.assert_array_equal(scale.numpy().T, realized.weight.scales(weight, outputs=0))
    plain = replace(plan, weight_clipping=Clipping.MINMAX)
    other = RealizedLayer.of(plain, table.layers[0], Dialect.TENSORRT).weight.scales(weight, outputs=0)
    assert (other > scale.numpy().T).any()
    original = nn.Linear(128, 20, bias=False)
    original.weight.data = torch.from_numpy(weight)
    simulated = SimulatedLayer.planned(original, table.layers[0], plan, None, Dialect.TENSORRT)
    numbers = realized.weight.quantize(weight, scale.numpy().T.astype(np.float32), outputs=0)
    expected = realized.weight.dequantize(numbers, scale.numpy().T.astype(np.float32), outputs=0)
    np.testing.assert_array_equal(simulated.weights[0].numpy(), expected)


def _downwards(layer: str, weight: Array, scales: Array, grid: Grid) -> Array:
    assert layer == "one"
    return np.clip(np.floor(weight / scales), grid.minimum, grid.maximum).astype(np.int8)


@pytest.mark.parametrize("operator", ["MatMul", "Conv"])
def test_another_rounding_chooses_the_integers_and_leaves_the_scales(
    make_table: Make, make_plan: Make, make_ranges: Make, operator: str
) -> None:
    table = _table(make_table, operator)
    form = "int4:channel/float" if operator == "Conv" else "int4:block32/float"
    plan = _realized(make_plan, table, form)
    stored = []
    for rounder in (nearest_even, _downwards):
        model = _model(operator, Dialect.TENSORRT)
        InsertQdqPass(plan, table, make_ranges(table), Dialect.TENSORRT, rounder)(model)
        apply(ir.passes.Sequential(CheckFormPass(plan, table, Dialect.TENSORRT)), model)
        stored.append([_constant(model, f"one.weight.{name}") for name in ("quantized", "scale")])
    (nearest, scale), (down, same) = stored
    np.testing.assert_array_equal(scale, same)
    assert set(np.unique(nearest - down)) == {0, 1}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda layer, weight, scales, grid: np.full(weight.shape, 9, np.int8),
            "gave 9 to 9 for one.*-8 to 7",
        ),
        (lambda layer, weight, scales, grid: weight / scales, "gave float32 .* for one, where int8"),
    ],
)
def test_a_rounding_off_the_grid_is_refused(
    make_table: Make, make_plan: Make, make_ranges: Make, wrong: Rounder, message: str
) -> None:
    table = _table(make_table, "MatMul")
    plan = _realized(make_plan, table, "int4:channel/float")
    step = InsertQdqPass(plan, table, make_ranges(table), Dialect.TENSORRT, wrong)
    with pytest.raises(GraphError, match=message):
        apply(ir.passes.Sequential(step), _model("MatMul", Dialect.TENSORRT))


@pytest.mark.parametrize(
    ("written", "planned", "fault"),
    [
        ("int8:channel/float", "int4:channel/float", "the weight of one is not stored as INT4"),
        ("int4:channel/float", "int8:channel/float", "the weight of one is not stored as INT8"),
        ("int4:channel/float", "int4:block32/float", "one has no scale per block of 32 inputs"),
        ("int4:block64/float", "int4:block32/float", "one has no scale per block of 32 inputs"),
        ("int4:block32/float", "int4:channel/float", "one has no scale per output channel"),
        ("fp8:channel/fp8", "fp8:tensor/fp8", "one has no scale for the whole tensor alone"),
        ("fp8:tensor/fp8", "fp8:channel/fp8", "one has no scale per output channel"),
        ("int8:channel/int8", "fp8:channel/fp8", r"the weight of one is not stored as FP8 \(E4M3\)"),
        ("int8:channel/uint8", "int8:channel/int8", "the activation zero point of one is no INT8 constant"),
        ("int8:channel/int8", "int8:channel/float", "the activation of one is quantized"),
        ("float/float", "int4:channel/float", "the weight of one is not quantized"),
        ("int4:channel/float", "float/float", "the weight of one is quantized"),
    ],
)
def test_a_graph_in_another_form_than_planned_is_refused(
    make_table: Make, make_plan: Make, make_ranges: Make, written: str, planned: str, fault: str
) -> None:
    table, model = _table(make_table, "MatMul"), _model("MatMul", Dialect.TENSORRT)
    InsertQdqPass(_realized(make_plan, table, written), table, make_ranges(table), Dialect.TENSORRT)(model)
    check = CheckFormPass(_realized(make_plan, table, planned), table, Dialect.TENSORRT)
    with pytest.raises(GraphFormError, match=fault):
        apply(ir.passes.Sequential(check), model)


def test_blocks_along_the_outputs_are_refused(make_table: Make, make_plan: Make, make_ranges: Make) -> None:
    table, model = make_table({"one": (128, 128)}), _model("MatMul", Dialect.TENSORRT)
    square = ir.tensor(np.ones((128, 128), np.float16), name="w")
    model.graph.initializers["w"].const_value = square
    plan = _realized(make_plan, table, "int4:block32/float")
    InsertQdqPass(plan, table, make_ranges(table), Dialect.TENSORRT)(model)
    node = next(n for n in model.graph if n.name == "one.weight.dequantized")
    node.attributes["axis"] = ir.AttrInt64("axis", 1)
    with pytest.raises(GraphFormError, match="one has no scale per block of 32 inputs"):
        apply(ir.passes.Sequential(CheckFormPass(plan, table, Dialect.TENSORRT)), model)


def test_an_fp8_zero_point_off_zero_is_refused(make_table: Make, make_plan: Make, make_ranges: Make) -> None:
    table, model = _table(make_table, "MatMul"), _model("MatMul", Dialect.TENSORRT)
    plan = _realized(make_plan, table, "fp8:tensor/fp8")
    InsertQdqPass(plan, table, make_ranges(table), Dialect.TENSORRT)(model)
    point = model.graph.initializers["one.input.zero_point"]
    point.const_value = ir.tensor(np.asarray(1).astype(ir.DataType.FLOAT8E4M3FN.numpy()), name=point.name)
    with pytest.raises(GraphFormError, match="the activation zero point of one is not 0"):
        apply(ir.passes.Sequential(CheckFormPass(plan, table, Dialect.TENSORRT)), model)


def test_blocks_that_do_not_divide_the_inputs_are_refused(
    make_table: Make, make_plan: Make, make_ranges: Make
) -> None:
    table = make_table({"one": (20, 128)})
    model = _model("MatMul", Dialect.TENSORRT)
    model.graph.initializers["w"].const_value = ir.tensor(np.ones((80, 20), np.float16), name="w")
    step = InsertQdqPass(
        _realized(make_plan, table, "int4:block64/float"), table, make_ranges(table), Dialect.TENSORRT
    )
    with pytest.raises(PlanError, match="blocks of 64 don't divide the 80 inputs"):
        apply(ir.passes.Sequential(step), model)


def test_an_odd_number_of_four_bit_weights_fills_half_of_its_last_byte(
    make_table: Make, make_plan: Make, make_ranges: Make
) -> None:
    table, model = make_table({"one": (3, 1)}), _model("Gemm", Dialect.ORT)
    weight = ir.tensor(np.asarray([[7], [-7], [0.9]], np.float32), name="w")
    model.graph.initializers["w"].const_value = weight
    plan = _realized(make_plan, table, "int4:channel/float", "cpu")
    InsertQdqPass(plan, table, make_ranges(table), Dialect.ORT)(model)
    stored = model.graph.initializers["one.weight.quantized"].const_value
    assert stored is not None
    assert stored.tobytes() == bytes([0x97, 0x07])  # 7, -7 behind it, 7: each channel fills its grid
