"""What is wrong with a layer, told from its constants: one wrong constant a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest

from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect
from mixdq.eval.compare.diagnosis import CONSTANTS_AS_PLANNED, LayerValues, diagnose
from mixdq.eval.compare.layer_graph import LayerGraphs
from mixdq.eval.compare.planned import Planned
from mixdq.export.source import SourceModel

Array = npt.NDArray[Any]
Diagnose = Callable[[LayerGraphs, str], tuple[str, ...]]

CONVOLUTION = "mid_block.resnets.0.conv1"
LINEAR = "mid_block.attentions.0.proj_in"
TEXT = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
SHORTCUT = "up_blocks.0.resnets.0.conv_shortcut"


@pytest.fixture(scope="module")
def planned(both_dialects: Path) -> Planned:
    return Planned(
        LayerTable.read(both_dialects / "layers.json"),
        PrecisionPlan.read(both_dialects / "plan.yaml"),
        RangeTable.read(both_dialects / "ranges.json"),
        Dialect.ORT,
    )


@pytest.fixture
def graphs(both_dialects: Path, planned: Planned) -> LayerGraphs:
    return LayerGraphs(both_dialects / "onnx" / "ort" / "unet-128.onnx", planned)


@pytest.fixture
def find_faults(emoji: SourceModel, planned: Planned) -> Diagnose:
    """The faults of a layer, with the model's own weights to compare with."""
    reader = emoji.weights["unet"].open()

    def find_faults(graphs: LayerGraphs, name: str) -> tuple[str, ...]:
        layer = planned.table[LayerName(name)]
        weight = reader.read(f"{name}.weight", layer.weight_shape).astype(np.float32)
        bias = None
        if layer.has_bias:
            bias = reader.read(f"{name}.bias", layer.weight_shape[:1]).astype(np.float32)
        values = LayerValues(weight, bias)
        return diagnose(layer, graphs.parts(layer), graphs.model.graph, values, planned)

    return find_faults


def _change(graphs: LayerGraphs, name: str, change: Callable[[Array], Array]) -> None:
    constant = graphs.model.graph.initializers[name]
    assert constant.const_value is not None
    constant.const_value = ir.tensor(change(constant.const_value.numpy().copy()), name=name)


def _first(factor: float) -> Callable[[Array], Array]:
    def change(array: Array) -> Array:
        array.reshape(-1)[0] *= factor
        return array

    return change


def test_a_sound_layer_has_no_faults(graphs: LayerGraphs, find_faults: Diagnose, planned: Planned) -> None:
    for layer in planned.table:
        assert find_faults(graphs, layer.name) == (CONSTANTS_AS_PLANNED,)


def test_a_layer_of_tensorrt_s_fp16_graph_has_none_either(
    both_dialects: Path, planned: Planned, emoji: SourceModel
) -> None:
    symmetric = Planned(planned.table, planned.plan, planned.ranges, Dialect.TENSORRT)
    graphs = LayerGraphs(both_dialects / "onnx" / "tensorrt" / "unet-128.onnx", symmetric)
    layer = planned.table[LayerName(TEXT)]
    weight = emoji.weights["unet"].open().read(f"{TEXT}.weight", layer.weight_shape).astype(np.float32)
    parts = graphs.parts(layer)
    found = diagnose(layer, parts, graphs.model.graph, LayerValues(weight, None), symmetric)
    assert found == (CONSTANTS_AS_PLANNED,)


def test_a_wrong_activation_scale_is_named_with_its_factor(
    graphs: LayerGraphs, find_faults: Diagnose
) -> None:
    _change(graphs, f"{CONVOLUTION}.input.scale", lambda scale: scale * np.float32(3))
    (fault,) = find_faults(graphs, CONVOLUTION)
    assert fault.startswith("the scale of its input is ")
    assert fault.endswith(" (times 3)")


def test_a_wrong_zero_point_is_named(graphs: LayerGraphs, find_faults: Diagnose) -> None:
    name = f"{CONVOLUTION}.input.zero_point"
    right = graphs.model.graph.initializers[name].const_value
    assert right is not None
    planned = int(right.numpy())
    _change(graphs, name, lambda zero_point: zero_point + np.uint8(1))
    assert find_faults(graphs, CONVOLUTION) == (
        f"the zero point of its input is {planned + 1}, planned {planned}",
    )


def test_one_wrong_channel_of_a_weight_scale_is_named(graphs: LayerGraphs, find_faults: Diagnose) -> None:
    _change(graphs, f"{CONVOLUTION}.weight.scale", _first(1.5))
    assert find_faults(graphs, CONVOLUTION) == (
        "the scale of its weight deviates in 1 of 160 channels (0): times 1.5 in channel 0",
    )


def test_changed_integers_of_a_linear_layer_s_weight_are_counted(
    graphs: LayerGraphs, find_faults: Diagnose
) -> None:
    _change(graphs, f"{LINEAR}.weight.quantized", np.flipud)
    (fault,) = find_faults(graphs, LINEAR)
    assert fault.endswith("of 25600 integers of its weight are others than planned")


def test_a_wrong_bias_is_named(graphs: LayerGraphs, find_faults: Diagnose) -> None:
    _change(graphs, f"{LINEAR}.bias", lambda bias: bias + np.float32(1))
    (fault,) = find_faults(graphs, LINEAR)
    assert fault.startswith("its bias is off by 1 at the most")


def test_a_wrong_row_of_token_0_is_named(graphs: LayerGraphs, find_faults: Diagnose) -> None:
    _change(graphs, f"{TEXT}.bos", np.negative)
    (fault,) = find_faults(graphs, TEXT)
    assert fault.startswith("its output for token 0 is off by")


def test_a_wrong_scale_of_a_split_shortcut_is_named_with_its_half(
    graphs: LayerGraphs, find_faults: Diagnose
) -> None:
    _change(graphs, f"{SHORTCUT}.1.input.scale", lambda scale: scale * np.float32(2))
    (fault,) = find_faults(graphs, SHORTCUT)
    assert fault.startswith("half 2 of its split: the scale of its input is ")


def test_an_input_that_is_not_quantized_is_named(graphs: LayerGraphs, find_faults: Diagnose) -> None:
    node = graphs.nodes[CONVOLUTION]
    dequantize = node.inputs[0].producer() if node.inputs[0] is not None else None
    quantize = dequantize.inputs[0].producer() if dequantize and dequantize.inputs[0] else None
    assert quantize is not None
    node.replace_input_with(0, quantize.inputs[0])
    assert find_faults(graphs, CONVOLUTION) == ("its input is not quantized, the plan says otherwise",)


def test_a_weight_that_is_not_quantized_is_named(graphs: LayerGraphs, find_faults: Diagnose) -> None:
    node = graphs.nodes[CONVOLUTION]
    value = ir.Value(
        name="plain", const_value=ir.tensor(np.zeros((160, 160, 3, 3), np.float32), name="plain")
    )
    node.replace_input_with(1, value)
    assert find_faults(graphs, CONVOLUTION) == ("its weight is not quantized, the plan says otherwise",)
