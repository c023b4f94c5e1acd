"""Quantization simulated in torch: the plan's arithmetic on the model's own modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixdq.configs.layers import LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.quantizer import (
    ActivationQuantizer,
    activation_quantizer,
    dequantize_weight,
    quantize_weight,
    weight_scales,
)
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect
from mixdq.export.layers import quantizable


def simulate(
    unet: nn.Module, table: LayerTable, plan: PrecisionPlan, ranges: RangeTable, dialect: Dialect
) -> None:
    """Replaces the planned layers of a UNet by simulated ones, in place.

    The scales, zero points and integers are those that the graph of the same dialect holds; everything
    around them runs in the UNet's own floating-point type.

    Args:
        unet: the model in FP32.
        table: its layers.
        plan: one precision a layer.
        ranges: its calibrated ranges.
        dialect: symmetric or asymmetric activations, and the type that stores scales.

    Raises:
        ModelError: the plan is BOS-aware and the model's BOS row is not constant.
    """
    if plan.bos_aware:
        ranges.constant_bos()
    modules = dict(quantizable(unet))
    for layer in table:
        precision = plan[layer.name]
        if not precision.quantizes_weight:
            continue
        quantizers: list[ActivationQuantizer | None] = [
            activation_quantizer(
                values,
                precision.activation_bits,
                symmetric=dialect.symmetric,
                scale_type=dialect.float_type,
            )
            if precision.quantizes_activation
            else None
            for values in ranges.input_ranges(layer, plan)
        ]
        simulated = SimulatedLayer(modules[layer.name], layer, plan, quantizers, dialect)
        parent, _, attribute = layer.name.rpartition(".")
        setattr(unet.get_submodule(parent), attribute, simulated)


class SimulatedLayer(nn.Module):
    """One quantized layer: fake-quantized input, dequantized integer weight, floating-point arithmetic."""

    def __init__(
        self,
        original: nn.Linear | nn.Conv2d,
        layer: LayerSpec,
        plan: PrecisionPlan,
        quantizers: Sequence[ActivationQuantizer | None],
        dialect: Dialect,
    ) -> None:
        super().__init__()
        self.original = original
        self.quantizers = tuple(quantizers)
        self.split = layer.split if plan.splits(layer) else None
        self.bos_aware = plan.takes_bos_out(layer)
        bits = plan[layer.name].weight_bits
        parts = _halves(original.weight.detach(), self.split)
        self.weights = nn.ParameterList(
            nn.Parameter(_through_integers(part, bits, dialect), requires_grad=False) for part in parts
        )

    def forward(self, activation: Tensor) -> Tensor:
        """The layer's output; token 0 of a BOS-aware layer goes through the original weights."""
        if self.bos_aware:
            first: Tensor = self.original(activation[:, :1])
            return torch.cat([first, self._quantized(activation[:, 1:])], dim=1)
        return self._quantized(activation)

    def __getattr__(self, name: str) -> Any:
        # diffusers reads sizes off its layers (`add_embedding.linear_1.in_features`).
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("original"), name)

    def _quantized(self, activation: Tensor) -> Tensor:
        parts = _halves(activation, self.split)
        outputs = [
            self._product(fake_quantize(part, quantizer), weight, with_bias=index == 0)
            for index, (part, quantizer, weight) in enumerate(
                zip(parts, self.quantizers, self.weights, strict=True)
            )
        ]
        return outputs[0] if len(outputs) == 1 else outputs[0] + outputs[1]

    def _product(self, activation: Tensor, weight: Tensor, *, with_bias: bool) -> Tensor:
        layer = self.original
        bias = layer.bias if with_bias else None
        if isinstance(layer, nn.Linear):
            return functional.linear(activation, weight, bias)
        return functional.conv2d(
            activation, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups
        )


def fake_quantize(activation: Tensor, quantizer: ActivationQuantizer | None) -> Tensor:
    """To integers and back, as `mixdq.configs.quantizer` defines it; unchanged without a quantizer."""
    if quantizer is None:
        return activation
    scale, zero_point, grid = float(quantizer.scale), quantizer.zero_point, quantizer.grid
    # Divided by a tensor: torch multiplies by the reciprocal of a Python number, which rounds differently.
    divisor = torch.tensor(scale, dtype=torch.float32, device=activation.device)
    integers = torch.round(activation.float() / divisor) + zero_point
    integers = torch.clamp(integers, grid.minimum, grid.maximum)
    return ((integers - zero_point) * divisor).to(activation.dtype)


def _halves(tensor: Tensor, split: int | None) -> tuple[Tensor, ...]:
    return (tensor,) if split is None else (tensor[:, :split], tensor[:, split:])


def _through_integers(weight: Tensor, bits: int, dialect: Dialect) -> Tensor:
    array = weight.float().cpu().numpy()
    scales = weight_scales(array, bits, axis=0, scale_type=dialect.float_type)
    integers = quantize_weight(array, scales, bits, axis=0)
    values = torch.from_numpy(dequantize_weight(integers, scales, axis=0))
    return values.to(dtype=weight.dtype, device=weight.device)
