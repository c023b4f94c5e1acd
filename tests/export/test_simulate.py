"""Simulated layers, against arithmetic by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from mixdq.configs.form import Granularity
from mixdq.configs.form_quantizer import FormQuantizer
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.quantizer import Grid, dequantize_weight, quantize_weight, weight_scales
from mixdq.configs.ranges import CalibrationRun, Range, RangeTable
from mixdq.configs.target import Dialect
from mixdq.export.simulate import SimulatedLayer, quantized_weight, simulated

SHORTCUT = LayerName("conv_shortcut")


class Model(nn.Module):
    """One text projection and one shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.attn2 = nn.Module()
        self.attn2.to_k = nn.Linear(2, 1, bias=False)
        self.conv_shortcut = nn.Conv2d(2, 1, 1)


TABLE = LayerTable(
    model=ModelIdentity("hand", "0"),
    layers=(
        LayerSpec(LayerName("block.attn2.to_k"), Kind.LINEAR, (1, 2), False, None, {}),
        LayerSpec(SHORTCUT, Kind.CONVOLUTION, (1, 2, 1, 1), True, 1, {}),
    ),
)
TEXT = LayerName("block.attn2.to_k")


def _model(to_k: list[float], shortcut: list[float], bias: float) -> nn.Module:
    block = Model()
    with torch.no_grad():
        block.attn2.get_parameter("to_k.weight").copy_(torch.tensor([to_k]))
        block.conv_shortcut.weight.copy_(torch.tensor(shortcut).reshape(1, 2, 1, 1))
        assert block.conv_shortcut.bias is not None
        block.conv_shortcut.bias.fill_(bias)
    model = nn.Module()
    model.block = block
    model.conv_shortcut = block.conv_shortcut
    del block.conv_shortcut
    return model.requires_grad_(False)


def _plan(
    text: Precision, shortcut: Precision, *, bos_aware: bool = True, split: bool = True
) -> PrecisionPlan:
    return PrecisionPlan(TABLE.digest, None, bos_aware, split, {TEXT: text, SHORTCUT: shortcut})


def _ranges(text: Range, below: Range, skip: Range) -> RangeTable:
    return RangeTable(
        model=TABLE.model,
        layers_digest=TABLE.digest,
        calibration=CalibrationRun(1, "0", 0, (8,)),
        bos=(1000.0, 0.0),
        bos_change=0.0,
        bos_range=Range(0, 1000),
        layers={TEXT: (text,), SHORTCUT: (below, skip)},
    )


UNIT = Range(-127, 127)


def test_a_bos_aware_layer_keeps_row_0_exact_and_quantizes_the_others() -> None:
    model = _model([127.0, 0.3], [1, 1], 0)
    ranges = _ranges(UNIT, UNIT, UNIT)
    with simulated(model, TABLE, _plan(Precision(8, 8), FP16), ranges, Dialect.TENSORRT):
        text = torch.tensor([[[1000.3, 1.0], [3.4, 2.6]]])
        output = model.get_submodule(TEXT)(text)
        # Scale 1 for weights and activations: 0.3 rounds to 0, 3.4 to 3, 2.6 to 3.
        torch.testing.assert_close(output, torch.tensor([[[127 * 1000.3 + 0.3], [127 * 3.0]]]))


def test_without_bos_awareness_the_outlier_stretches_the_scale() -> None:
    model = _model([127.0, 0.0], [1, 1], 0)
    ranges = _ranges(Range(-10, 10), UNIT, UNIT)
    with simulated(model, TABLE, _plan(Precision(8, 8), FP16, bos_aware=False), ranges, Dialect.TENSORRT):
        output = model.get_submodule(TEXT)(torch.tensor([[[1000.0, 0.0], [3.4, 0.0]]]))
        # The step is 1000 / 127 = 7.87, so 3.4 rounds to 0.
        assert float(output[0, 1, 0]) == 0.0


def test_the_halves_of_a_split_shortcut_have_scales_of_their_own() -> None:
    model = _model([1, 1], [127.0, 1.27], 5)
    ranges = _ranges(UNIT, Range(-1270, 1270), Range(-1.27, 1.27))
    with simulated(model, TABLE, _plan(FP16, Precision(8, 8)), ranges, Dialect.ORT):
        layer = model.get_submodule(SHORTCUT)
        assert isinstance(layer, SimulatedLayer)
        value = torch.tensor([1003.0, 0.5]).reshape(1, 2, 1, 1)
        # Steps of 2540 / 255 and 2.54 / 255: 1003 becomes 1006 (101 steps), 0.5 becomes 0.498 (50 steps).
        expected = 127 * 101 * 2540 / 255 + 1.27 * 50 * 2.54 / 255 + 5
        torch.testing.assert_close(layer(value).item(), expected, rtol=1e-5, atol=0.0)


def test_without_the_split_the_small_half_loses_its_bits() -> None:
    model = _model([1, 1], [127.0, 127.0], 0)
    ranges = _ranges(UNIT, Range(-1270, 1270), Range(-1.27, 1.27))
    with simulated(model, TABLE, _plan(FP16, Precision(8, 8), split=False), ranges, Dialect.TENSORRT):
        value = torch.tensor([0.0, 1.2]).reshape(1, 2, 1, 1)
        assert float(model.get_submodule(SHORTCUT)(value)) == 0.0


def test_floating_point_layers_are_left_alone() -> None:
    model = _model([1, 1], [1, 1], 0)
    before = dict(model.named_modules())
    with simulated(model, TABLE, _plan(FP16, FP16), _ranges(UNIT, UNIT, UNIT), Dialect.ORT):
        assert dict(model.named_modules()) == before


def test_a_weight_only_layer_reads_its_input_as_it_is() -> None:
    model = _model([127.0, 64.4], [1, 1], 0)
    ranges = _ranges(UNIT, UNIT, UNIT)
    with simulated(model, TABLE, _plan(Precision(8, 16), FP16), ranges, Dialect.TENSORRT):
        output = model.get_submodule(TEXT)(torch.tensor([[[0.0, 0.0], [0.3, 0.6]]]))
        torch.testing.assert_close(output[0, 1, 0].item(), 127 * 0.3 + 64 * 0.6, rtol=1e-6, atol=0.0)


def test_a_simulated_layer_shows_the_attributes_of_the_original() -> None:
    model = _model([1, 1], [1, 1], 0)
    with simulated(model, TABLE, _plan(Precision(8, 8), FP16), _ranges(UNIT, UNIT, UNIT), Dialect.ORT):
        assert model.get_submodule(TEXT).in_features == 2


def test_the_layers_are_the_originals_again_afterwards() -> None:
    model = _model([1, 1], [1, 1], 0)
    before = dict(model.named_modules())
    with simulated(model, TABLE, _plan(Precision(8, 8), FP16), _ranges(UNIT, UNIT, UNIT), Dialect.ORT):
        assert isinstance(model.get_submodule(TEXT), SimulatedLayer)
    assert dict(model.named_modules()) == before


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_weights_are_quantized_bit_for_bit_as_the_reference_does(dialect: Dialect, bits: int) -> None:
    draw = torch.Generator().manual_seed(bits)
    weight = torch.randn(40, 6, 3, 3, generator=draw) * torch.logspace(-9, 3, 40).reshape(-1, 1, 1, 1)
    weight[7] = 0
    array = weight.numpy()
    scales = weight_scales(array, bits, axis=0, scale_type=dialect.float_type)
    integers = quantize_weight(array, scales, bits, axis=0)
    expected = dequantize_weight(integers, scales, axis=0)
    quantizer = FormQuantizer(Grid.signed(bits), Granularity.CHANNEL, dialect.float_type)
    np.testing.assert_array_equal(quantized_weight(weight, quantizer).numpy(), expected)
