"""The quantizable layers of a UNet, listed from its modules without weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mixdq.configs.bundle import Component
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable
from mixdq.export.modules import UnetForExport, empty_module
from mixdq.export.source import SourceModel

_UP_SHORTCUT = re.compile(r"up_blocks\.(\d+)\.resnets\.(\d+)\.conv_shortcut")


def quantizable(unet: nn.Module) -> Iterator[tuple[LayerName, nn.Linear | nn.Conv2d]]:
    """All linear and convolution modules, in the modules' order: what MixDQ quantizes."""
    for name, module in unet.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            yield LayerName(name), module


def list_layers(source: SourceModel, resolutions: Sequence[int]) -> LayerTable:
    """Names, kinds, shapes, shortcut splits and multiply-accumulates of a model's quantizable layers.

    Args:
        source: the checked model folder; no weights are read.
        resolutions: pixels at which to count multiply-accumulates.

    Raises:
        RequestError: a resolution that the model can't make.
    """
    for resolution in resolutions:
        source.check_resolution(resolution)
    unet = empty_module(source, Component.UNET)
    macs = {resolution: _count_macs(unet, source, resolution) for resolution in resolutions}
    specs = tuple(
        LayerSpec(
            name=name,
            kind=Kind.LINEAR if isinstance(module, nn.Linear) else Kind.CONVOLUTION,
            weight_shape=tuple(module.weight.shape),
            has_bias=module.bias is not None,
            split=_split_of(unet, name),
            macs={resolution: macs[resolution][name] for resolution in resolutions},
        )
        for name, module in quantizable(unet)
    )
    return LayerTable(model=source.identity, layers=specs)


def unet_inputs(
    source: SourceModel, *, batch: int, height: int, width: int, dtype: torch.dtype, device: str
) -> dict[str, Tensor]:
    """Random inputs of the UNet, by name; height and width are the latent image's."""
    config = source.configs["unet"]
    tokens = source.configs["text_encoder"]["max_position_embeddings"]
    pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
    options: dict[str, Any] = {"dtype": dtype, "device": device}
    return {
        "sample": torch.randn(batch, config["in_channels"], height, width, **options),
        "timestep": torch.tensor(999.0, device=device),
        "encoder_hidden_states": torch.randn(batch, tokens, config["cross_attention_dim"], **options),
        "text_embeds": torch.randn(batch, pooled, **options),
        "time_ids": torch.zeros(batch, 6, **options),
    }


def _count_macs(unet: nn.Module, source: SourceModel, resolution: int) -> dict[LayerName, int]:
    counts: dict[LayerName, int] = {}
    hooks = []
    for name, module in quantizable(unet):

        def count(module: nn.Module, _: Any, output: Tensor, name: LayerName = name) -> None:
            weight: Tensor = module.weight  # type: ignore[assignment]
            counts[name] = output.numel() // weight.shape[0] * weight.numel()

        hooks.append(module.register_forward_hook(count))
    side = resolution // source.downsampling
    with torch.no_grad():
        inputs = unet_inputs(source, batch=1, height=side, width=side, dtype=torch.float32, device="meta")
        UnetForExport(unet)(**inputs)
    for hook in hooks:
        hook.remove()
    return counts


def _split_of(unet: Any, name: LayerName) -> int | None:
    """Channels that come from below, where an up-block's resnet concatenates them with a skip."""
    match = _UP_SHORTCUT.fullmatch(name)
    if match is None:
        return None
    block, resnet = int(match[1]), int(match[2])
    if resnet > 0:
        return int(unet.up_blocks[block].resnets[resnet - 1].out_channels)
    below = unet.up_blocks[block - 1] if block > 0 else unet.mid_block
    return int(below.resnets[-1].out_channels)
