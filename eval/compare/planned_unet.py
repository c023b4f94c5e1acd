"""A UNet in torch, plain or with a plan simulated, in the memory of its largest layer."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mixdq.configs.bundle import Component
from mixdq.configs.layers import LayerSpec
from mixdq.configs.target import Dialect
from mixdq.eval.compare.planned import Planned
from mixdq.export.layers import quantizable
from mixdq.export.modules import UnetForExport, stream_module
from mixdq.export.simulate import SimulatedLayer
from mixdq.export.source import SourceModel

Array = npt.NDArray[Any]


class LayerWatch(Protocol):
    """Told of each layer as it runs."""

    def __call__(self, layer: LayerSpec, module: nn.Module, activation: Array, output: Array) -> None:
        """Sees one layer.

        Args:
            layer: which.
            module: the layer in full precision, with its weights, which are dropped afterwards.
            activation: its input, in FP32, rounded to the dialect's floating-point type; token 0 of the text
                embedding as it was calibrated, if the plan makes a constant of it.
            output: what the simulation makes of that.
        """


def run_unet(
    source: SourceModel,
    inputs: Mapping[str, Array],
    *,
    planned: Planned | None,
    dtype: torch.dtype,
    blocks: Sequence[str],
    watch: LayerWatch | None = None,
) -> dict[str, Array]:
    """Runs a UNet once; each layer reads its weights when it runs, and drops them after.

    Args:
        source: the checked model.
        inputs: by name, as `find_unet_inputs` gives them.
        planned: the plan to simulate; None for full precision.
        dtype: the kernels' type. Quantization itself is in FP32 whatever it is.
        blocks: module paths whose outputs are wanted.
        watch: told of every layer of a plan.

    Returns:
        FP32 arrays by module path; the UNet's own output by the empty name.
    """
    unet = stream_module(source, Component.UNET, dtype)
    if planned is not None:
        modules = dict(quantizable(unet))
        for layer in planned.table:
            module: Any = modules[layer.name]
            # Between the hooks that read the module's weights and that drop them.
            module.forward = partial(_forward, module, layer, planned, watch)
    outputs: dict[str, Array] = {}
    for name in blocks:
        unet.get_submodule(name).register_forward_hook(partial(_keep, outputs, name))
    tensors = {name: torch.from_numpy(np.asarray(value)).to(dtype) for name, value in inputs.items()}
    with torch.no_grad():
        prediction = UnetForExport(unet)(**tensors)
    return {"": to_array(prediction), **outputs}


def to_array(tensor: Tensor) -> Array:
    """The tensor's values in an FP32 array of its own."""
    array: Array = tensor.detach().float().cpu().numpy().copy()
    return array


def _forward(
    module: nn.Module,
    layer: LayerSpec,
    planned: Planned,
    watch: LayerWatch | None,
    activation: Tensor,
) -> Tensor:
    original: Any = _plain(module)
    computing: nn.Module = original
    if planned.plan[layer.name].quantizes_weight:
        computing = SimulatedLayer.planned(
            original, layer, planned.plan, planned.quantizers(layer), planned.dialect
        )
    output: Tensor = computing(activation)
    if watch is not None:
        stored = _as_fed(activation, layer, planned)
        given = output if stored is activation else computing(stored)
        watch(layer, original, to_array(stored), to_array(given))
    return output


def _as_fed(activation: Tensor, layer: LayerSpec, planned: Planned) -> Tensor:
    """The input with which a layer of the graph can be compared: itself, unless the graph takes another."""
    if planned.plan.takes_bos_out(layer) and planned.ranges is not None:
        # The graph's constant comes from the calibration's row; another batch gives other last digits.
        activation = activation.clone()
        activation[:, 0] = torch.tensor(planned.ranges.constant_bos(), dtype=activation.dtype)
    if planned.dialect is Dialect.TENSORRT:
        activation = activation.half().to(activation.dtype)
    return activation


def _plain(module: nn.Module) -> nn.Module:
    """The module with its present weights and the arithmetic of its class, without hooks."""
    plain = copy.copy(module)
    plain.__dict__.pop("forward")
    plain._forward_hooks, plain._forward_pre_hooks = OrderedDict(), OrderedDict()
    plain._parameters = dict(module._parameters)
    return plain


def _keep(outputs: dict[str, Array], name: str, _: nn.Module, __: Any, output: Any) -> None:
    outputs[name] = to_array(output if isinstance(output, Tensor) else output[0])
