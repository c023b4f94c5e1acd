"""The four networks as the CUDA back end compiles them, and inputs to compile them with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mixdq.compiler.cuda.assemble import assemble
from mixdq.compiler.cuda.forms import PlannedLayers
from mixdq.compiler.cuda.pixels import PixelDecoder
from mixdq.configs.bundle import Component
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.export.layers import unet_inputs
from mixdq.export.modules import (
    TextEncoderForExport,
    VaeDecoderForExport,
    empty_module,
    load_module,
    to_torch,
)
from mixdq.export.source import SUBFOLDERS, SourceModel

_HALF = torch.float16
# SDXL's VAE overflows in FP16; BF16 has FP32's range, and its tensor cores.
_VAE_TYPES = {"float32": torch.bfloat16, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Network:
    """A network to compile.

    Attributes:
        module: on the device, in evaluation mode; its inputs are positional.
        inputs: examples by name, in the module's order, at a resolution in pixels.
        outputs: the names of its outputs.
    """

    module: nn.Module
    inputs: Callable[[int], Mapping[str, Tensor]]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NetworkOrder:
    """What to make networks of.

    Attributes:
        source: the model.
        batch: images at once.
        device: torch's name of it.
        table: the UNet's layers.
        plan: checked against them.
        ranges: None if the plan needs none.
    """

    source: SourceModel
    batch: int
    device: str
    table: LayerTable
    plan: PrecisionPlan
    ranges: RangeTable | None


def make_network(component: Component, order: NetworkOrder) -> Network:
    """A network with its weights on the device.

    Raises:
        ModelError: a tensor is missing or wrongly shaped, or the UNet has parts that SDXL's has not.
        PlanError: a layer's form has no kernel.
    """
    return _MAKERS[component](order)


def _unet(order: NetworkOrder) -> Network:
    source = order.source
    structure = empty_module(source, Component.UNET)
    shapes = {name: tuple(parameter.shape) for name, parameter in structure.named_parameters()}
    reader = source.weights[SUBFOLDERS[Component.UNET]].open()

    def weights(name: str) -> Tensor:
        return to_torch(reader.read(name, shapes[name])).to(order.device)

    module = assemble(structure, PlannedLayers(order.table, order.plan, order.ranges, weights))
    module.register_forward_pre_hook(_rounded, with_kwargs=True)

    def inputs(resolution: int) -> Mapping[str, Tensor]:
        side = resolution // source.downsampling
        return unet_inputs(
            source, batch=order.batch, height=side, width=side, dtype=torch.float32, device=order.device
        )

    return Network(module, inputs, ("noise_prediction",))


def _rounded(
    _: nn.Module, positional: tuple[Tensor, ...], named: Mapping[str, Tensor]
) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """A UNet's inputs in FP16, from the host's FP32: NumPy takes 0.8 ms to round them at 1024 pixels."""

    def half(value: Tensor) -> Tensor:
        return value.to(_HALF) if value.ndim else value  # the timestep stays as it is

    return tuple(map(half, positional)), {name: half(value) for name, value in named.items()}


def _text_encoder(order: NetworkOrder, *, component: Component) -> Network:
    pooled = component is Component.TEXT_ENCODER_2
    encoder = load_module(order.source, component, _HALF)
    module = TextEncoderForExport(encoder, pooled=pooled).eval().to(order.device)
    config = order.source.configs[SUBFOLDERS[component]]

    def inputs(_: int) -> Mapping[str, Tensor]:
        tokens = torch.arange(order.batch * config["max_position_embeddings"], device=order.device)
        return {"input_ids": tokens.reshape(order.batch, -1) % config["vocab_size"]}

    return Network(module, inputs, ("hidden_states", "pooled") if pooled else ("hidden_states",))


def _vae_decoder(order: NetworkOrder) -> Network:
    source = order.source
    dtype = _VAE_TYPES[source.choice.vae_precision]
    vae = load_module(source, Component.VAE_DECODER, dtype)
    module = PixelDecoder(VaeDecoderForExport(vae, dtype)).eval().to(order.device)
    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    channels = source.configs["vae"]["latent_channels"]

    def inputs(resolution: int) -> Mapping[str, Tensor]:
        side = resolution // source.downsampling
        return {"latents": torch.randn(order.batch, channels, side, side, device=order.device)}

    return Network(module, inputs, ("images", "finite"))


_MAKERS: Mapping[Component, Callable[[NetworkOrder], Network]] = {
    Component.UNET: _unet,
    Component.TEXT_ENCODER: partial(_text_encoder, component=Component.TEXT_ENCODER),
    Component.TEXT_ENCODER_2: partial(_text_encoder, component=Component.TEXT_ENCODER_2),
    Component.VAE_DECODER: _vae_decoder,
}
