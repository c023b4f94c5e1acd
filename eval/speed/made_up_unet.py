"""SDXL's UNet with made-up weights: diffusers' module, the CUDA back end's under a plan, and inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from mixdq.compiler.cuda.assemble import assemble
from mixdq.compiler.cuda.forms import PlannedLayers
from mixdq.configs.bundle import Component
from mixdq.configs.form import Form
from mixdq.configs.layers import Kind, LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan, Realization, uniform_plan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.presets import preset_for
from mixdq.configs.ranges import RangeTable
from mixdq.export.layers import unet_inputs
from mixdq.export.modules import empty_module
from mixdq.export.source import SourceModel

INPUTS = ("sample", "timestep", "encoder_hidden_states", "text_embeds", "time_ids")
"""The UNet's inputs, in its module's order."""

_BOS_OUTLIER = 10.0


def made_up_unet(source: SourceModel, device: str) -> nn.Module:
    """The UNet of diffusers in FP16, images channels last."""
    unet = empty_module(source, Component.UNET)
    for path, owner in unet.named_modules():
        for key, parameter in list(owner.named_parameters(recurse=False)):
            value = _made_up(f"{path}.{key}", tuple(parameter.shape), device)
            owner._parameters[key] = nn.Parameter(value, requires_grad=False)
    return unet.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def made_up_inputs(source: SourceModel, batch: int, resolution: int, device: str) -> tuple[Tensor, ...]:
    """Random inputs in FP16; token 0 of the text is the same for all, and an outlier."""
    torch.manual_seed(0)
    side = resolution // source.downsampling
    named = unet_inputs(source, batch=batch, height=side, width=side, dtype=torch.float16, device=device)
    text = torch.randn(named["encoder_hidden_states"].shape)
    text[:, 0] = torch.randn(text.shape[-1], generator=torch.Generator().manual_seed(1))
    text[:, 0, :5] = _BOS_OUTLIER
    named["encoder_hidden_states"] = text.half().to(device)
    return tuple(named[name] for name in INPUTS)


def planned_unet(way: str, source: SourceModel, device: str, work: Path) -> nn.Module:
    """The CUDA back end's module of one of its ways, by the layers and ranges in `work`."""
    table = LayerTable.read(work / "layers.json")
    structure = empty_module(source, Component.UNET)
    shapes = {name: tuple(parameter.shape) for name, parameter in structure.named_parameters()}
    layers = PlannedLayers(
        table,
        plan_of(way, table, source.identity.name),
        RangeTable.read(work / "ranges.json"),
        lambda name: _made_up(name, shapes[name], device),
    )
    return assemble(structure, layers)


def plan_of(way: str, table: LayerTable, model: str) -> PrecisionPlan:
    """The plan of one of the CUDA back end's ways; see `unet_trial.ALL_WAYS`."""
    options: Any = {"keep": (), "bos_aware": way != "fp16", "split_shortcuts": way != "fp16"}
    protect = preset_for(model).protect
    if way == "fp16":
        return uniform_plan(table, FP16, protect=(), **options)
    plan = uniform_plan(table, Precision(8, 8), protect=protect, **options)
    if way == "w8a8":
        return plan
    forms = {layer.name: _packed(layer, layer.name in protect) for layer in table}
    layers = {name: form.precision for name, form in forms.items()}
    return replace(plan, layers=layers, realization=Realization("cuda", forms))


def _packed(layer: LayerSpec, protected: bool) -> Form:
    if layer.kind is Kind.CONVOLUTION:
        return Form.parse("int8:channel/float" if protected else "int8:channel/uint8")
    packed = Form.parse("int4:block128/float")
    return packed if packed.fits(layer) else Form.parse("int8:channel/float")


def _made_up(name: str, shape: tuple[int, ...], device: str) -> Tensor:
    """A tensor that depends on its name: norms that do nothing, weights that keep an input's variance."""
    if len(shape) == 1:
        return torch.full(shape, 1.0 if "norm" in name and name.endswith("weight") else 0.0).half().to(device)
    generator = torch.Generator(device).manual_seed(crc32(name.encode()))
    fan = 1
    for size in shape[1:]:
        fan *= size
    values: Tensor = torch.randn(shape, generator=generator, device=device) * float(fan) ** -0.5
    return values.half()
