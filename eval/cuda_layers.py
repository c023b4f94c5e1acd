"""Each layer of a UNet as the CUDA back end runs it, fed the input that it has in the simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from mixdq.compiler.cuda.assemble import assemble_layer
from mixdq.compiler.cuda.convolutions import Convolution
from mixdq.compiler.cuda.forms import PlannedLayers
from mixdq.compiler.cuda.products import Int8Product, Int8WeightProduct, Product
from mixdq.configs.bundle import Component
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.export.fidelity import sqnr_db
from mixdq.export.modules import empty_module
from mixdq.export.source import SourceModel


class CudaLayers:
    """The quantized layers of a UNet, made one at a time with the weights of a module."""

    def __init__(
        self, source: SourceModel, unet: nn.Module, table: LayerTable, plan: PrecisionPlan, ranges: RangeTable
    ) -> None:
        """Keeps the weights of a UNet in full precision, where they are.

        Args:
            source: the checked model.
            unet: diffusers' module, nothing simulated yet.
            table: its layers.
            plan: one precision a layer.
            ranges: its calibrated ranges.
        """
        tensors: Mapping[str, Tensor] = dict(unet.named_parameters())
        self._structure = empty_module(source, Component.UNET)
        self._layers = PlannedLayers(table, plan, ranges, lambda name: tensors[name].detach())
        self._names = [layer.name for layer in table if plan[layer.name].quantizes_weight]

    @contextmanager
    def watched(self, unet: nn.Module, found: dict[LayerName, float]) -> Iterator[None]:
        """While the block runs, every quantized layer of the simulated UNet is run here as well.

        Args:
            unet: with the plan simulated.
            found: where each layer's signal-to-noise ratio goes, in decibels, in the order in which they run.
        """
        hooks = [
            unet.get_submodule(name).register_forward_hook(partial(self._compare, name, found))
            for name in self._names
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def run(self, name: LayerName, activation: Tensor) -> Tensor:
        """A layer of its input in FP32, in diffusers' layout; without token 0 where that is a constant."""
        if activation.ndim != 4:
            return self._run(name, activation)
        return self._run(name, activation.permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)

    def _compare(
        self, name: LayerName, found: dict[LayerName, float], _: nn.Module, inputs: Any, output: Tensor
    ) -> None:
        skipped = 1 if self._layers.form(name).bos else 0
        activation, expected = (
            (inputs[0][:, skipped:], output[:, skipped:]) if skipped else (inputs[0], output)
        )
        result = self.run(name, activation)
        found[name] = float(sqnr_db(result.flatten()[None], expected.flatten()[None]))

    def _run(self, name: LayerName, activation: Tensor) -> Tensor:
        if (split := self._layers.splits(name)) is not None:
            return self._halves(name, activation, split)
        return _call(assemble_layer(self._structure, self._layers, name), activation)

    def _halves(self, name: LayerName, activation: Tensor, split: int) -> Tensor:
        """A shortcut whose input is quantized in two: the second product adds to the first's result."""
        layers = self._layers
        grids = layers.form(name).inputs or (None, None)
        weight = layers.weights(f"{name}.weight").flatten(1)
        halves = ((weight[:, :split], activation[..., :split]), (weight[:, split:], activation[..., split:]))
        bias: Tensor | None = layers.weights(f"{name}.bias").half()
        sums: Tensor | None = None
        for (part, fed), grid in zip(halves, grids, strict=True):
            numbers, scales = layers.integers(name, part)
            product = (
                Int8WeightProduct(numbers, scales, bias)
                if grid is None
                else Int8Product(numbers, scales, bias, grid)
            )
            sums, bias = _call(product, fed, sums), None
        assert sums is not None
        return sums


def _call(module: Product | Convolution, activation: Tensor, residual: Tensor | None = None) -> Tensor:
    """The layer of an FP32 activation, which FP16 would round before it is quantized."""
    grid: Callable[[Tensor], Tensor] | None = module.grid
    fed = activation.half() if grid is None else grid(activation)
    result: Tensor = module(fed.contiguous(), residual)
    return result
