"""What a measurement needs of memory, reckoned before the model is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mixdq.compiler.memory import available_mib
from mixdq.compiler.needs import TORCH_MIB
from mixdq.compiler.sensitivity.order import SensitivityOrder
from mixdq.configs.bundle import Component
from mixdq.configs.errors import MachineError
from mixdq.export.one_step_size import decoded_at_once

_MIB = 1 << 20
_LIVE = 4  # tensors of a network's largest size that are alive at once, kernels' own memory included
_METRIC_BYTES = 160  # of a pixel's channel: FP64 copies and squares, five blurred moments and their sums
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class Sizes:
    """A model's sizes, for one picture where pictures count.

    Attributes:
        parameters: by component.
        recorded: values that replay keeps.
        largest: values of the UNet's largest tensor.
        decoded: values of the VAE decoder's largest tensor.
        pixels: values of a picture.
    """

    parameters: Mapping[Component, int]
    recorded: int
    largest: int
    decoded: int
    pixels: int

    def need_mib(self, order: SensitivityOrder, device: str, batch: int) -> float:
        """Of the device: weights, recordings of all prompts, one batch of all variants, one decoding."""
        width, vae_width = _BYTES[order.precision], _BYTES[order.source.choice.vae_precision]
        weights = sum(
            count * (vae_width if component is Component.VAE_DECODER else width)
            for component, count in self.parameters.items()
        )
        recorded = self.recorded * width * len(order.prompts)
        running = order.trials * batch * width * (self.recorded // 2 + _LIVE * self.largest)
        decoding = min(batch, decoded_at_once(order.resolution, device)) * _LIVE * self.decoded * vae_width
        judging = batch * self.pixels * _METRIC_BYTES
        return (weights + recorded + running + max(decoding, judging)) / _MIB


def check_room(order: SensitivityOrder, device: str, batch: int) -> None:
    """Refuses what will not fit.

    Raises:
        MachineError: says what is needed and what there is.
    """
    sizes = model_sizes(order)
    need = sizes.need_mib(order, device, batch)
    if device == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info()
        _check(need, free / _MIB, "of the GPU's memory", batch)
        # Weights pass through the machine's memory, one component at a time; calibration's in FP32.
        need = 4 * max(sizes.parameters.values()) / _MIB
    _check(TORCH_MIB + need, available_mib(), "of memory", batch)


def model_sizes(order: SensitivityOrder) -> Sizes:
    """The sizes of a model at a resolution, from its modules without weights."""
    import torch

    from mixdq.export.layers import unet_inputs
    from mixdq.export.modules import UnetForExport, empty_module
    from mixdq.export.sensitivity.replay import recorded_values

    source = order.source
    unet = empty_module(source, Component.UNET)
    side = order.resolution // source.downsampling
    inputs = unet_inputs(source, batch=1, height=side, width=side, dtype=torch.float32, device="meta")
    with torch.no_grad():
        recorded, largest = recorded_values(unet, lambda: UnetForExport(unet)(**inputs))
    parameters = {
        component: sum(each.numel() for each in empty_module(source, component).parameters())
        for component in Component
    }
    channels = source.configs["vae"]["block_out_channels"]
    pixels = order.resolution**2
    return Sizes(parameters, recorded, largest, pixels * channels[min(1, len(channels) - 1)], 3 * pixels)


def _check(need_mib: float, found_mib: float, what: str, batch: int) -> None:
    if need_mib > found_mib:
        raise MachineError(
            f"the measurement needs about {_size(need_mib)} {what}, and there are {_size(found_mib)}. "
            f"Nothing was begun. Use a smaller --batch than {batch}, fewer prompts or a smaller --resolution"
        )


def _size(mib: float) -> str:
    digits = max(0, 1 - int(math.log10(max(mib / 1024, 0.1))))
    return f"{mib / 1024:.{digits}f} GiB"
