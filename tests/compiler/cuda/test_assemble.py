"""The module that the CUDA back end compiles, on the CPU, against the simulation of its plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mixdq.compiler.cuda import transformer
from mixdq.compiler.cuda.assemble import assemble, assemble_layer
from mixdq.compiler.cuda.convolutions import Convolution, Int8Convolution
from mixdq.compiler.cuda.forms import NUMBERS, PlannedLayers
from mixdq.compiler.cuda.kernels.text_attention import int8_text_attention
from mixdq.compiler.cuda.products import Int8Product, Product, Quantize
from mixdq.compiler.cuda.transformer import Transformer, TransformerBlock
from mixdq.compiler.cuda.unet import Unet
from mixdq.configs.bundle import Component
from mixdq.configs.errors import PlanError
from mixdq.configs.form import Form
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.plan import PrecisionPlan, Realization, uniform_plan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.presets import preset_for
from mixdq.configs.quantizer import quantize
from mixdq.configs.ranges import RangeTable
from mixdq.configs.realized import RealizedLayer
from mixdq.export.calibrate import calibrate
from mixdq.export.layers import list_layers, quantizable, unet_inputs
from mixdq.export.modules import UnetForExport, empty_module, load_module
from mixdq.export.simulate import simulated
from mixdq.export.source import SourceModel

INT8 = Precision(8, 8)


@dataclass(frozen=True)
class Case:
    """emoji-turbo, its layers and ranges."""

    source: SourceModel
    unet: nn.Module
    table: LayerTable
    ranges: RangeTable

    def plan(self, precision: Precision, *, bos_aware: bool = True, split: bool = True) -> PrecisionPlan:
        protect = preset_for("emoji-turbo").protect
        return uniform_plan(
            self.table, precision, keep=(), protect=protect, bos_aware=bos_aware, split_shortcuts=split
        )

    def layers(self, plan: PrecisionPlan) -> PlannedLayers:
        tensors = dict(self.unet.named_parameters())
        return PlannedLayers(self.table, plan, self.ranges, lambda name: tensors[name].detach())

    def module(self, plan: PrecisionPlan) -> Unet:
        return assemble(empty_module(self.source, Component.UNET), self.layers(plan))

    def inputs(self, batch: int = 1) -> dict[str, Tensor]:
        torch.manual_seed(0)
        named = unet_inputs(self.source, batch=batch, height=16, width=16, dtype=torch.float32, device="cpu")
        named["encoder_hidden_states"][:, 0] = torch.tensor(self.ranges.bos)
        return named

    def simulation(self, plan: PrecisionPlan, inputs: Mapping[str, Tensor]) -> Tensor:
        with torch.no_grad(), simulated(self.unet, self.table, plan, self.ranges, NUMBERS):
            return UnetForExport(self.unet)(**inputs)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def case(emoji: SourceModel) -> Case:
    table = list_layers(emoji, (128,))
    unet = load_module(emoji, Component.UNET, torch.float32)
    ranges = calibrate(
        emoji, table, prompts=["a cat"], seed=0, resolutions=(128,), steps=1, advance=lambda _: None
    )
    return Case(emoji, unet, table, ranges)


def test_an_fp16_plan_computes_what_diffusers_does(case: Case) -> None:
    inputs = case.inputs(batch=2)
    with torch.no_grad():
        expected = UnetForExport(case.unet)(**inputs)
        found = case.module(case.plan(FP16, bos_aware=False, split=False))(**_half(inputs))
    assert _db(expected, found) > 50


@pytest.mark.parametrize(("bos_aware", "split"), [(True, True), (False, False)])
def test_a_quantized_plan_stays_as_near_to_its_simulation_as_float_kernels_do(
    case: Case, bos_aware: bool, split: bool
) -> None:
    plan, inputs = case.plan(INT8, bos_aware=bos_aware, split=split), case.inputs()
    with torch.no_grad():
        found = case.module(plan)(**_half(inputs))
    # Two float kernel sets agree to 31 dB on such a model: rounding flips cascade.
    assert _db(case.simulation(plan, inputs), found) > 26


def test_every_layer_fed_the_simulations_input_has_its_integers_and_its_output(case: Case) -> None:
    plan, inputs = case.plan(INT8), case.inputs()
    layers, worst = case.layers(plan), {}
    for name, activation, expected in _recorded(case, plan, inputs):
        if layers.splits(name) is not None:
            continue
        module = assemble_layer(case.unet, layers, name)
        form = layers.form(name)
        if form.bos:
            activation, expected = activation[:, 1:], expected[:, 1:]
        fed = activation.permute(0, 2, 3, 1) if activation.ndim == 4 else activation
        if (grid := module.grid) is not None:
            assert isinstance(grid, Quantize)
            integers = grid(fed)
            assert np.array_equal(integers.numpy(), _integers(case, plan, name, fed)), name
        with torch.no_grad():
            found = _call(module, fed)
        found = found.permute(0, 3, 1, 2) if activation.ndim == 4 else found
        worst[name] = _db(expected, found)
    split = sum(layers.splits(layer.name) is not None for layer in case.table)
    assert len(worst) == len(case.table) - split
    # FP16 keeps 11 bits: 70 dB or so of a product's output.
    assert min(worst.values()) > 60, min(worst, key=lambda name: worst[name])


def test_stored_weights_are_the_quantizers(case: Case) -> None:
    plan = case.plan(INT8)
    layers = case.layers(plan)
    for name in ("mid_block.attentions.0.proj_in", "down_blocks.1.resnets.0.conv2"):
        weight = case.unet.get_parameter(f"{name}.weight").detach()
        quantizer = RealizedLayer.of(plan, case.table[LayerName(name)], NUMBERS).weight
        scales = quantizer.scales(weight.numpy(), outputs=0)
        numbers, found = layers.integers(name, weight)
        assert np.array_equal(numbers.numpy(), quantizer.quantize(weight.numpy(), scales, outputs=0))
        assert np.array_equal(found.numpy(), scales)


def test_layers_that_read_one_tensor_are_one_product(case: Case) -> None:
    module = case.module(case.plan(INT8))
    assert [type(product) for product in _middle_block(module).qkv.products] == [Int8Product]
    assert [type(product) for product in module.text.products] == [Int8Product]
    assert len(module.shifts.products) == 1


def test_a_layer_of_another_precision_leaves_its_fan(case: Case) -> None:
    plan = case.plan(INT8)
    name = LayerName("mid_block.attentions.0.transformer_blocks.0.attn1.to_k")
    mixed = replace(plan, layers={**plan.layers, name: Precision(8, 16)})
    inputs = case.inputs()
    with torch.no_grad():
        module = case.module(mixed)
        found = module(**_half(inputs))
    assert len(_middle_block(module).qkv.products) == 2
    assert _db(case.simulation(mixed, inputs), found) > 26


def test_token_0_of_the_text_has_no_effect_once_its_rows_are_constants(case: Case) -> None:
    inputs = _half(case.inputs())
    module = case.module(case.plan(INT8))
    with torch.no_grad():
        before = module(**inputs)
        inputs["encoder_hidden_states"][:, 0] = 7
        assert torch.equal(module(**inputs), before)


def test_queries_made_in_the_attentions_kernel_are_the_same(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, inputs, asked = case.module(case.plan(INT8)), _half(case.inputs()), []

    def counting(*arguments: Any) -> Tensor:
        asked.append(arguments)
        mixed: Tensor = int8_text_attention(*arguments)
        return mixed

    with torch.no_grad():
        apart = module(**inputs)
        # emoji-turbo has fewer rows than it takes.
        monkeypatch.setattr(transformer, "_FUSED_ROWS", 1)
        monkeypatch.setattr(transformer, "int8_text_attention", counting)
        assert torch.equal(module(**inputs), apart)
    assert len(asked) == sum(isinstance(part, TransformerBlock) for part in module.modules())


def test_packed_weights_of_four_bits_compute_what_they_hold() -> None:
    from mixdq.compiler.cuda.products import Int4WeightProduct

    numbers = torch.randint(-8, 8, (6, 256), generator=torch.Generator().manual_seed(0)).to(torch.int8)
    scales = torch.tensor([[0.5, 0.25]] * 6)
    activation = torch.linspace(-1, 1, 512).reshape(2, 256).half()
    found = Int4WeightProduct(numbers, scales, None)(activation)
    weight = numbers.double() * scales.double().repeat_interleave(128, 1)
    assert torch.allclose(found.double(), activation.double() @ weight.T, rtol=2e-3, atol=2e-2)


def test_a_form_without_a_kernel_is_refused(case: Case) -> None:
    plan = case.plan(FP16, bos_aware=False, split=False)
    packed = {name: Form.parse("int4:channel/float") for name in plan.layers}
    precisions = dict.fromkeys(plan.layers, Precision(4, 16))
    realized = replace(plan, layers=precisions, realization=Realization("cuda:sm90", packed))
    with pytest.raises(PlanError, match=r"no kernel for .*int4:channel/float.*legal"):
        case.module(realized)


def _middle_block(module: Unet) -> TransformerBlock:
    transformer = module.middle.steps[1]
    assert isinstance(transformer, Transformer)
    block = transformer.blocks[0]
    assert isinstance(block, TransformerBlock)
    return block


def _half(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.half() if value.ndim else value for name, value in inputs.items()}


def _db(expected: Tensor, found: Tensor) -> float:
    noise = (expected - found.float()).square().sum()
    return float(10 * torch.log10(expected.square().sum() / noise))


def _call(module: Product | Convolution, activation: Tensor) -> Tensor:
    """The layer of an FP32 activation, which FP16 would round before it is quantized."""
    quantized: Tensor = module.grid(activation) if module.grid is not None else activation.half()
    result: Tensor = module(quantized)
    return result


def _integers(case: Case, plan: PrecisionPlan, name: str, activation: Tensor) -> np.ndarray[Any, Any]:
    layer = case.table[LayerName(name)]
    (own,) = RealizedLayer.of(plan, layer, NUMBERS).activations(case.ranges.input_ranges(layer, plan))
    return quantize(activation.numpy(), own.scale, own.zero_point, own.grid).astype(np.int16) - 128


def _recorded(
    case: Case, plan: PrecisionPlan, inputs: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, input and output of every layer of the simulated UNet."""
    seen: list[tuple[str, Tensor, Tensor]] = []

    def hook(name: str) -> Callable[..., None]:
        return lambda _, fed, result: seen.append((name, fed[0], result))

    names = [name for name, _ in quantizable(case.unet)]
    with torch.no_grad(), simulated(case.unet, case.table, plan, case.ranges, NUMBERS):
        handles = [case.unet.get_submodule(name).register_forward_hook(hook(name)) for name in names]
        UnetForExport(case.unet)(**inputs)
        for handle in handles:
            handle.remove()
    return iter(seen)


def test_convolutions_are_int8_where_the_plan_says(case: Case) -> None:
    layers = case.layers(case.plan(INT8))
    assert isinstance(assemble_layer(case.unet, layers, "down_blocks.1.resnets.0.conv1"), Int8Convolution)
    assert assemble_layer(case.unet, layers, "conv_in").grid is None
