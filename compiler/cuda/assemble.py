"""From diffusers' UNet, a plan and the weights to the module that is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mixdq.compiler.cuda.convolutions import (
    Convolution,
    HalfConvolution,
    Int8Convolution,
    Int8WeightConvolution,
)
from mixdq.compiler.cuda.fans import Fan, Slot, TextFan
from mixdq.compiler.cuda.forms import InputGrid, LayerForm, PlannedLayers
from mixdq.compiler.cuda.norms import GroupNorm, LayerNorm
from mixdq.compiler.cuda.products import (
    HalfProduct,
    Int4WeightProduct,
    Int8Product,
    Int8WeightProduct,
    Product,
)
from mixdq.compiler.cuda.resnet import Resnet
from mixdq.compiler.cuda.transformer import Gate, Transformer, TransformerBlock
from mixdq.compiler.cuda.unet import DownBlock, Steps, TimeEmbedding, Unet, UpBlock
from mixdq.configs.errors import ModelError, PlanError
from mixdq.configs.form import ActivationFormat, WeightFormat

_HALF = torch.float16


def assemble(unet: nn.Module, layers: PlannedLayers) -> Unet:
    """The inference module of a UNet.

    Args:
        unet: diffusers' module; only its structure is read, so it may be on the meta device.
        layers: the plan, and where the weights come from; the module is on their device.

    Raises:
        ModelError: the UNet has parts that SDXL's has not, or the BOS row is not constant.
        PlanError: a layer's form has no kernel here.
    """
    return _Assembler(unet, layers).unet().eval()


def assemble_layer(unet: nn.Module, layers: PlannedLayers, name: str) -> Product | Convolution:
    """One layer as `assemble` makes it where it stands alone; a split shortcut's is refused.

    Raises:
        PlanError: its form has no kernel here.
    """
    assembler, module = _Assembler(unet, layers), unet.get_submodule(name)
    if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
        return assembler.convolution(name, module)
    return assembler.product(name)


class _Assembler:
    """Reads each weight once, in the modules' order, and keeps what the plan stores of it."""

    def __init__(self, unet: Any, layers: PlannedLayers) -> None:
        self._source, self._layers = unet, layers
        self._resnets: list[str] = []
        self._text: list[str] = []

    def unet(self) -> Unet:
        source = self._source
        # The blocks first: they find out which resnets and cross-attentions there are.
        down = [self._down(f"down_blocks.{i}", block) for i, block in enumerate(source.down_blocks)]
        middle = self._middle("mid_block", source.mid_block)
        up = [self._up(f"up_blocks.{i}", block) for i, block in enumerate(source.up_blocks)]
        time = TimeEmbedding(
            source.time_proj,
            source.add_time_proj,
            self._pair("time_embedding.linear_1", "time_embedding.linear_2"),
            self._pair("add_embedding.linear_1", "add_embedding.linear_2"),
        )
        return Unet(
            time,
            self._fan([f"{name}.time_emb_proj" for name in self._resnets]),
            self._text_fan([f"{name}.{part}" for name in self._text for part in ("to_k", "to_v")]),
            self.convolution("conv_in", source.conv_in),
            down,
            middle,
            up,
            self._group_norm("conv_norm_out", source.conv_norm_out, silu=True),
            self.convolution("conv_out", source.conv_out),
        )

    def _down(self, path: str, block: Any) -> DownBlock:
        transformers = self._transformers(path, block)
        steps = []
        for index, resnet in enumerate(block.resnets):
            step: list[Resnet | Transformer] = [self._resnet(f"{path}.resnets.{index}", resnet)]
            steps.append(Steps([*step, transformers[index]] if transformers else step))
        shrink = self._resampler(f"{path}.downsamplers.0", block.downsamplers)
        return DownBlock(steps, shrink)

    def _middle(self, path: str, block: Any) -> Steps:
        first, *others = (self._resnet(f"{path}.resnets.{i}", one) for i, one in enumerate(block.resnets))
        transformers = self._transformers(path, block)
        pairs = zip(transformers, others, strict=True)
        return Steps([first, *(step for pair in pairs for step in pair)])

    def _up(self, path: str, block: Any) -> UpBlock:
        resnets = [self._resnet(f"{path}.resnets.{i}", one) for i, one in enumerate(block.resnets)]
        grow = self._resampler(f"{path}.upsamplers.0", block.upsamplers)
        return UpBlock(resnets, self._transformers(path, block), grow)

    def _resampler(self, path: str, modules: Any) -> Convolution | None:
        return None if not modules else self.convolution(f"{path}.conv", modules[0].conv)

    def _transformers(self, path: str, block: Any) -> list[Transformer]:
        named = enumerate(getattr(block, "attentions", ()))
        return [self._transformer(f"{path}.attentions.{i}", one) for i, one in named]

    def _transformer(self, path: str, source: Any) -> Transformer:
        blocks = [
            self._block(f"{path}.transformer_blocks.{i}", one)
            for i, one in enumerate(source.transformer_blocks)
        ]
        return Transformer(
            self._group_norm(f"{path}.norm", source.norm, silu=False),
            self.product(f"{path}.proj_in"),
            blocks,
            self.product(f"{path}.proj_out"),
        )

    def _block(self, path: str, source: Any) -> TransformerBlock:
        self._text.append(f"{path}.attn2")
        shrink = self.product(f"{path}.ff.net.2")
        return TransformerBlock(
            (
                self._layer_norm(f"{path}.norm1", source.norm1),
                self._layer_norm(f"{path}.norm2", source.norm2),
                self._layer_norm(f"{path}.norm3", source.norm3),
            ),
            self._fan([f"{path}.attn1.{part}" for part in ("to_q", "to_k", "to_v")]),
            self.product(f"{path}.attn1.to_out.0"),
            self.product(f"{path}.attn2.to_q"),
            self.product(f"{path}.attn2.to_out.0"),
            Gate(self.product(f"{path}.ff.net.0.proj"), shrink),
            shrink,
            heads=source.attn1.heads,
            text=len(self._text) - 1,
        )

    def _resnet(self, path: str, source: Any) -> Resnet:
        if source.output_scale_factor != 1 or source.time_embedding_norm != "default":
            raise ModelError(
                f"{path} scales its output, or its normalization by the time embedding, which SDXL's UNet "
                "does not and the CUDA back end can't; use --target cpu"
            )
        self._resnets.append(path)
        return Resnet(
            self._group_norm(f"{path}.norm1", source.norm1, silu=True),
            self.convolution(f"{path}.conv1", source.conv1),
            self._group_norm(f"{path}.norm2", source.norm2, silu=True),
            self.convolution(f"{path}.conv2", source.conv2),
            self._shortcut(f"{path}.conv_shortcut", source.conv_shortcut),
            shift=len(self._resnets) - 1,
        )

    def _shortcut(self, name: str, source: Any) -> list[Product]:
        if source is None:
            return []
        if (split := self._layers.splits(name)) is None:
            return [self.product(name)]
        weight, bias = self._matrix(name), self._tensor(f"{name}.bias")
        form = self._layers.form(name)
        grids = form.inputs or (None, None)
        halves = (weight[:, :split], weight[:, split:])
        return [
            self._stored_product(name, form, half, bias if index == 0 else None, grid)
            for index, (half, grid) in enumerate(zip(halves, grids, strict=True))
        ]

    def convolution(self, name: str, source: nn.Conv2d) -> Convolution:
        stride, padding = _geometry(name, source)
        weight, bias = self._layers.weights(f"{name}.weight"), self._tensor(f"{name}.bias")
        form = self._layers.form(name)
        if form.form.weight is WeightFormat.FLOAT:
            return HalfConvolution(weight.to(_HALF), bias, stride=stride, padding=padding)
        if form.form.weight is not WeightFormat.INT8:
            raise PlanError(
                f"{name}: the CUDA back end has no kernel for a convolution as {form.form}; make the plan "
                "legal with `mixdq-compile legalize`"
            )
        numbers, scales = self._layers.integers(name, weight)
        if form.grid is None:
            return Int8WeightConvolution(numbers, scales, bias, stride=stride, padding=padding)
        return Int8Convolution(numbers, scales, bias, form.grid, stride=stride, padding=padding)

    def product(self, name: str) -> Product:
        form = self._layers.form(name)
        bias = self._tensor(f"{name}.bias") if self._layers.spec(name).has_bias else None
        return self._stored_product(name, form, self._matrix(name), bias, form.grid)

    def _pair(self, first: str, second: str) -> tuple[Product, Product]:
        return self.product(first), self.product(second)

    def _stored_product(
        self, name: str, form: LayerForm, weight: Tensor, bias: Tensor | None, grid: InputGrid | None
    ) -> Product:
        if form.form.weight is WeightFormat.FLOAT:
            return HalfProduct(weight.to(_HALF).contiguous(), bias)
        numbers, scales = self._layers.integers(name, weight)
        return _quantized_product(form, numbers, scales, bias, grid)

    def _fan(self, names: Sequence[str]) -> Fan:
        groups = self._groups(names)
        return Fan([self._side_by_side(group) for group in groups], self._slots(names, groups))

    def _text_fan(self, names: Sequence[str]) -> TextFan:
        groups = self._groups(names)
        rows = [self._bos_rows(group) if self._layers.form(group[0]).bos else None for group in groups]
        products = [self._side_by_side(group) for group in groups]
        return TextFan(products, rows, self._slots(names, groups))

    def _groups(self, names: Sequence[str]) -> list[list[str]]:
        """The layers that can be one product, in the order of each group's first."""
        groups: dict[object, list[str]] = {}
        for name in names:
            key = (self._layers.form(name), self._layers.spec(name).has_bias)
            groups.setdefault(key, []).append(name)
        return list(groups.values())

    def _slots(self, names: Sequence[str], groups: Sequence[Sequence[str]]) -> list[Slot]:
        slots = {}
        for index, group in enumerate(groups):
            start = 0
            for name in group:
                stop = start + self._layers.spec(name).weight_shape[0]
                slots[name] = Slot(index, start, stop)
                start = stop
        return [slots[name] for name in names]

    def _side_by_side(self, names: Sequence[str]) -> Product:
        """One product of layers of one form: an output's integers and scale don't depend on the others'."""
        form = self._layers.form(names[0])
        has_bias = self._layers.spec(names[0]).has_bias
        bias = _joined([self._tensor(f"{name}.bias") for name in names]) if has_bias else None
        if form.form.weight is WeightFormat.FLOAT:
            return HalfProduct(_joined([self._matrix(name).to(_HALF) for name in names]), bias)
        stored = [self._layers.integers(name, self._matrix(name)) for name in names]
        numbers, scales = _joined([one for one, _ in stored]), _joined([one for _, one in stored])
        return _quantized_product(form, numbers, scales, bias, form.grid)

    def _bos_rows(self, names: Sequence[str]) -> Tensor:
        return torch.cat([self._layers.bos_row(name) for name in names]).to(_HALF)

    def _matrix(self, name: str) -> Tensor:
        """The weight of a linear layer, or of a convolution of one pixel, as `[N, K]`."""
        return self._layers.weights(f"{name}.weight").flatten(1)

    def _tensor(self, name: str) -> Tensor:
        return self._layers.weights(name).to(_HALF)

    def _group_norm(self, path: str, source: nn.GroupNorm, *, silu: bool) -> GroupNorm:
        weight, bias = self._tensor(f"{path}.weight"), self._tensor(f"{path}.bias")
        return GroupNorm(weight, bias, groups=source.num_groups, eps=source.eps, silu=silu)

    def _layer_norm(self, path: str, source: nn.LayerNorm) -> LayerNorm:
        return LayerNorm(self._tensor(f"{path}.weight"), self._tensor(f"{path}.bias"), eps=source.eps)


def _quantized_product(
    form: LayerForm, numbers: Tensor, scales: Tensor, bias: Tensor | None, grid: InputGrid | None
) -> Product:
    if form.form.weight is WeightFormat.INT4:
        return Int4WeightProduct(numbers, scales, bias)
    if form.form.activation is ActivationFormat.FLOAT or grid is None:
        return Int8WeightProduct(numbers, scales, bias)
    return Int8Product(numbers, scales, bias, grid)


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _geometry(name: str, source: nn.Conv2d) -> tuple[int, int]:
    """Stride and padding, the same in both directions."""
    stride, padding = source.stride, source.padding
    square = len(set(stride)) == 1 and not isinstance(padding, str) and len(set(padding)) == 1
    if not square or source.groups != 1 or set(source.dilation) != {1}:
        raise ModelError(f"{name} is a convolution of a kind that the CUDA back end can't; use --target cpu")
    assert not isinstance(padding, str)
    return stride[0], padding[0]
