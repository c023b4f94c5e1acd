"""Quantization simulated in torch: the plan's arithmetic on the model's own modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mixdq.configs.layers import LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.quantizer import ActivationQuantizer, Grid, activation_quantizers
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect
from mixdq.export.layers import quantizable


@contextmanager
def simulated(
    unet: nn.Module, table: LayerTable, plan: PrecisionPlan, ranges: RangeTable, dialect: Dialect
) -> Iterator[None]:
    """The planned layers of a UNet are simulated ones while the block runs.

    The scales, zero points and integers are those that the graph of the same dialect holds; everything
    around them runs in the UNet's own floating-point type.

    Args:
        unet: the model.
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
    try:
        for layer in table:
            precision = plan[layer.name]
            if precision.quantizes_weight:
                quantizers = (
                    activation_quantizers(
                        ranges.input_ranges(layer, plan), precision.activation_bits, dialect
                    )
                    if precision.quantizes_activation
                    else None
                )
                original = modules[layer.name]
                put_layer(unet, layer, SimulatedLayer.planned(original, layer, plan, quantizers, dialect))
        yield
    finally:
        for layer in table:
            put_layer(unet, layer, modules[layer.name])


class SimulatedLayer(nn.Module):
    """One quantized layer: fake-quantized input, dequantized integer weight, floating-point arithmetic."""

    def __init__(
        self,
        original: nn.Linear | nn.Conv2d,
        *,
        split: int | None,
        bos_aware: bool,
        weight_bits: int | None,
        quantizers: Sequence[ActivationQuantizer | None] | None,
        dialect: Dialect,
    ) -> None:
        """A layer that computes what the quantized one does.

        Args:
            original: the layer; its weight is not copied unless it is quantized.
            split: channels of the first half of an input that is quantized in two; None for one.
            bos_aware: whether token 0 of the input goes through the original weight.
            weight_bits: 2 to 8; None to leave the weight as it is.
            quantizers: one a half, None for a half that is left as it is; None for none at all.
            dialect: the type that stores the weights' scales.
        """
        super().__init__()
        self.original = original
        self.split = split
        self.bos_aware = bos_aware
        parts = _halves(original.weight.detach(), split)
        self.quantizers = (None,) * len(parts) if quantizers is None else tuple(quantizers)
        self.weights = nn.ParameterList(
            nn.Parameter(
                part if weight_bits is None else quantized_weight(part, weight_bits, dialect),
                requires_grad=False,
            )
            for part in parts
        )

    @classmethod
    def planned(
        cls,
        original: nn.Linear | nn.Conv2d,
        layer: LayerSpec,
        plan: PrecisionPlan,
        quantizers: Sequence[ActivationQuantizer | None] | None,
        dialect: Dialect,
    ) -> Self:
        """The layer as a plan says, whose weight is quantized."""
        return cls(
            original,
            split=layer.split if plan.splits(layer) else None,
            bos_aware=plan.takes_bos_out(layer),
            weight_bits=plan[layer.name].weight_bits,
            quantizers=quantizers,
            dialect=dialect,
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


def quantized_weight(weight: Tensor, bits: int, dialect: Dialect) -> Tensor:
    """A weight `[out, ...]` to integers and back, a scale an output channel; see `mixdq.configs.quantizer`.

    Bit for bit what `weight_scales`, `quantize_weight` and `dequantize_weight` give, on any device.
    """
    values, grid = weight.float(), Grid.signed(bits)
    absmax = values.abs().flatten(1).amax(1)
    raw = absmax / torch.tensor(grid.maximum, dtype=torch.float32, device=weight.device)
    stored = torch.float16 if dialect.float_type == "float16" else torch.float32
    smallest = float(np.finfo(dialect.float_type).smallest_subnormal)
    scales = torch.clamp(raw.to(stored).float(), min=smallest)
    scales = torch.where(absmax == 0, torch.ones_like(scales), scales)
    scales = scales.reshape(-1, *(1,) * (weight.ndim - 1))
    integers = torch.clamp(torch.round(values / scales), grid.minimum, grid.maximum)
    return (integers * scales).to(weight.dtype)


def put_layer(unet: nn.Module, layer: LayerSpec, module: nn.Module) -> None:
    """Puts a module into a layer's place."""
    parent, _, attribute = layer.name.rpartition(".")
    setattr(unet.get_submodule(parent), attribute, module)


def _halves(tensor: Tensor, split: int | None) -> tuple[Tensor, ...]:
    return (tensor,) if split is None else (tensor[:, :split], tensor[:, split:])
