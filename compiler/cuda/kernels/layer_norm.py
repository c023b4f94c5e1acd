"""Layer norms quantized for the layer that reads them: `mixdq::int8_layer_norm`; `half_layer_norm` is FP16.

Statistics and arithmetic are FP32; nothing is rounded to FP16 before it is quantized.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixdq.compiler.cuda.kernels import exact
from mixdq.compiler.cuda.kernels.register import operator, traced
from mixdq.compiler.cuda.kernels.tiles import configuration

_WARP = 32  # threads


def _normalized_rows(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return functional.layer_norm(x.float(), weight.shape, weight.float(), bias.float(), eps)


def _cpu_layer_norm(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, out_scale: Tensor, out_zero: Tensor
) -> Tensor:
    return exact.quantized(_normalized_rows(x, weight, bias, eps), out_scale, out_zero)


def _int8_like(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape, dtype=torch.int8)


@operator("int8_layer_norm", cpu=_cpu_layer_norm, shape=_int8_like)
def int8_layer_norm(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, out_scale: Tensor, out_zero: Tensor
) -> Tensor:
    """A layer norm over the last dimension.

    Args:
        x: FP16 [..., C].
        weight: FP16 [C].
        bias: FP16 [C].
        eps: is added to the variance.
        out_scale: FP32 [1], the scale of the next layer's activation.
        out_zero: INT32 [1], its zero point.

    Returns:
        INT8 [..., C].
    """
    out = torch.empty(x.shape, dtype=torch.int8, device=x.device)
    return _launch_layer_norm(x, weight, bias, eps, (out_scale, out_zero, out))


def _cpu_half_layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return _normalized_rows(x, weight, bias, eps).half()


def _half_like(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


@operator("half_layer_norm", cpu=_cpu_half_layer_norm, shape=_half_like)
def half_layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The same with an FP16 result."""
    out = torch.empty(x.shape, dtype=torch.float16, device=x.device)
    return _launch_layer_norm(x, weight, bias, eps, (weight, weight, out))


def _launch_layer_norm(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, tensors: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """Launches the kernel on the result's scale and zero point, and the result, which it returns."""
    from mixdq.compiler.cuda.kernels.triton_norm import layer_norm_kernel

    channels = x.shape[-1]
    rows = x.numel() // channels
    tile = configuration("int8_layer_norm", rows, channels, 1)
    kernel: Any = traced(layer_norm_kernel)
    kernel[(-(-rows // tile.block_m),)](
        x,
        weight,
        bias,
        *tensors,
        ROWS=rows,
        C=channels,
        EPS=eps,
        TO_INT8=tensors[-1].dtype == torch.int8,
        BLOCK_M=tile.block_m,
        BLOCK_N=channels_at_once(channels, max(1, _WARP * tile.warps // tile.block_m)),
        num_warps=tile.warps,
    )
    return tensors[-1]


def channels_at_once(channels: int, threads: int) -> int:
    """How many channels of a row its threads read at a time: 16 bytes each, or 8, where none is idle then."""
    for wide in (8 * threads, 4 * threads):
        if channels % wide == 0:
            return wide
    return 1 << (channels - 1).bit_length()
