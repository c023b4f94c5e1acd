"""Quantization simulated in torch: the plan's arithmetic on the model's own modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mixdq.configs.form import Form, Granularity
from mixdq.configs.form_quantizer import FormQuantizer
from mixdq.configs.layers import LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.quantizer import ActivationQuantizer, Grid
from mixdq.configs.quantizing import Clipping
from mixdq.configs.ranges import RangeTable
from mixdq.configs.realized import INT8_PER_CHANNEL, RealizedLayer
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
                    RealizedLayer.of(plan, layer, dialect).activations(ranges.input_ranges(layer, plan))
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
        form: Form = INT8_PER_CHANNEL,
        clipping: Clipping = Clipping.MINMAX,
    ) -> None:
        """A layer that computes what the quantized one does.

        Args:
            original: the layer; its weight is not copied unless it is quantized.
            split: channels of the first half of an input that is quantized in two; None for one.
            bos_aware: whether token 0 of the input goes through the original weight.
            weight_bits: 2 to 8; None to leave the weight as it is.
            quantizers: one a half, None for a half that is left as it is; None for none at all.
            dialect: the type that stores the weights' scales.
            form: what the weight is stored as, and what shares a scale of it.
            clipping: how the scales of the weight are found.
        """
        super().__init__()
        self.original = original
        self.split = split
        self.bos_aware = bos_aware
        parts = _halves(original.weight.detach(), split)
        self.quantizers = (None,) * len(parts) if quantizers is None else tuple(quantizers)
        self.weights = nn.ParameterList(
            nn.Parameter(
                part
                if weight_bits is None
                else quantized_weight(
                    part, FormQuantizer.of(form, weight_bits, dialect.float_type, clipping)
                ),
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
            form=RealizedLayer.of(plan, layer, dialect).form,
            clipping=plan.weight_clipping,
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
    """To a grid's numbers and back as `mixdq.configs.quantizer` says; unchanged without a quantizer."""
    if quantizer is None:
        return activation
    # Divided by a tensor: torch multiplies by the reciprocal of a Python number, which rounds differently.
    scale = torch.tensor(float(quantizer.scale), dtype=torch.float32, device=activation.device)
    zero_point = quantizer.zero_point
    numbers = _on_grid(activation.float() / scale, zero_point, quantizer.grid)
    return ((numbers - zero_point) * scale).to(activation.dtype)


def quantized_weight(weight: Tensor, quantizer: FormQuantizer) -> Tensor:
    """A weight `[out, in, ...]` to what is stored of it and back.

    Bit for bit what the quantizer's own `scales`, `quantize` and `dequantize` give, on any device.

    Raises:
        PlanError: blocks don't divide the inputs.
    """
    numbers, scales = weight_numbers(weight, quantizer)
    return (numbers * scales).to(weight.dtype)


def weight_numbers(weight: Tensor, quantizer: FormQuantizer) -> tuple[Tensor, Tensor]:
    """What is stored of a weight `[out, in, ...]`: the grid's numbers and their scales, both in FP32.

    The scales have a shape that broadcasts to the numbers'; those of blocks are repeated to all inputs.

    Raises:
        PlanError: blocks don't divide the inputs.
    """
    scales = _scales(weight.float(), quantizer)
    return _on_grid(weight.float() / scales, 0, quantizer.grid), scales


def _scales(values: Tensor, quantizer: FormQuantizer) -> Tensor:
    """The scales of a weight, in a shape that broadcasts to it."""
    if quantizer.clipping is not Clipping.MINMAX:
        array = values.cpu().numpy()
        found = quantizer.spread(quantizer.scales(array, outputs=0), array.ndim, outputs=0)
        return torch.from_numpy(found).to(values.device)
    shape, block = values.shape, quantizer.block_of(values.shape[1])
    if quantizer.granularity is Granularity.TENSOR:
        largest = values.abs().amax().reshape([1] * values.ndim)
    elif block is None:
        largest = values.abs().flatten(1).amax(1).reshape(-1, *[1] * (values.ndim - 1))
    else:
        blocks = values.abs().reshape(shape[0], -1, block, *shape[2:])
        largest = blocks.amax(2).repeat_interleave(block, 1)
    raw = largest / torch.tensor(quantizer.grid.maximum, dtype=torch.float32, device=values.device)
    stored = torch.float16 if quantizer.scale_type == "float16" else torch.float32
    smallest = float(np.finfo(quantizer.scale_type).smallest_subnormal)
    scales = torch.clamp(raw.to(stored).float(), min=smallest)
    return torch.where(largest == 0, torch.ones_like(scales), scales)


def _on_grid(quotients: Tensor, zero_point: int, grid: Grid) -> Tensor:
    """The grid's nearest numbers, in FP32."""
    if grid.floating:
        return torch.clamp(quotients, grid.minimum, grid.maximum).to(torch.float8_e4m3fn).float()
    return torch.clamp(torch.round(quotients) + zero_point, grid.minimum, grid.maximum)


def put_layer(unet: nn.Module, layer: LayerSpec, module: nn.Module) -> None:
    """Puts a module into a layer's place."""
    parent, _, attribute = layer.name.rpartition(".")
    setattr(unet.get_submodule(parent), attribute, module)


def _halves(tensor: Tensor, split: int | None) -> tuple[Tensor, ...]:
    return (tensor,) if split is None else (tensor[:, :split], tensor[:, split:])
