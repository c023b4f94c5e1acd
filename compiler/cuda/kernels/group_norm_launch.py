"""How the kernels of group norms are launched: one for small images, two for larger ones.

Launches are what a small image's norm costs, so each program reads a whole group, and writes a part of it.
For a larger image a first kernel finds means and deviations of parts of each group, which the second merges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixdq.compiler.cuda.kernels.register import traced

# An image takes one launch if it has at most so many pixels, and so many elements in a group: each program
# that writes a part of a group reads all of it. Of more pixels narrow groups would be read a few bytes each.
_ONE_LAUNCH_PIXELS = 640
_ONE_LAUNCH_ELEMENTS = 24576
# Elements that a program reads at a time.
_READ = 4096
# Groups of at most so many elements are written by many small programs, larger ones by programs of twice the
# elements and warps.
_SMALL_GROUP = 12288
_WARPS = 16

# Parts of a larger image's group.
_MOST_PARTS = 32
# Channels that a program of a larger image reads of each pixel: 128 bytes.
_CHANNELS = 64
# Pixels of a program; fewer where programs of so many would not fill a large GPU's 132 multiprocessors.
_PIXELS, _FEWER_PIXELS = 64, 32
_ENOUGH_PROGRAMS = 264


@dataclass(frozen=True, slots=True)
class Norm:
    """The arguments that every operator of group norms has."""

    first: Tensor
    second: Tensor | None
    weight: Tensor
    bias: Tensor
    groups: int
    eps: float
    silu: bool
    border: int

    @property
    def channels(self) -> int:
        """Of both inputs."""
        return self.weight.shape[0]

    @property
    def group(self) -> int:
        """Channels of a group."""
        return self.channels // self.groups

    @property
    def inputs(self) -> tuple[Tensor, Tensor]:
        """Both; where there is one, it stands for the other, which is not read."""
        return self.first, self.first if self.second is None else self.second


def normalize(norm: Norm, tensors: tuple[Tensor, Tensor, Tensor], beside: tuple[Tensor, ...] = ()) -> Tensor:
    """Launches what the size asks for.

    Args:
        norm: what is normalized, and how.
        tensors: the result's scale and zero point, not read if it is FP16, and the result.
        beside: scale and zero point of each input, and the integers of each; none if nobody wants these.

    Returns:
        The result.
    """
    _, height, width, _ = norm.first.shape
    if fits_one_launch(height * width, norm.group):
        _normalize_at_once(norm, tensors, beside)
    else:
        _normalize_by_parts(norm, tensors, beside)
    return tensors[-1]


def fits_one_launch(pixels: int, group: int) -> bool:
    """Whether to read groups of so many channels several times costs less than a launch."""
    return pixels <= _ONE_LAUNCH_PIXELS and pixels * group <= _ONE_LAUNCH_ELEMENTS


def _normalize_at_once(
    norm: Norm, tensors: tuple[Tensor, Tensor, Tensor], beside: tuple[Tensor, ...]
) -> None:
    from mixdq.compiler.cuda.kernels.triton_group_norm import group_norm_kernel

    batch, height, width, _ = norm.first.shape
    out = tensors[-1]
    small = height * width * norm.group <= _SMALL_GROUP
    written, warps = (_READ, _WARPS // 2) if small else (2 * _READ, _WARPS)
    elements = out.shape[1] * out.shape[2] * norm.group
    kernel: Any = traced(group_norm_kernel)
    kernel[(-(-elements // written), norm.groups, batch)](
        *norm.inputs,
        norm.weight,
        norm.bias,
        *tensors,
        *(beside or (out,) * 6),
        **_constants(norm, out, beside),
        BLOCK=_READ,
        WRITTEN=written,
        num_warps=warps,
    )


def _normalize_by_parts(
    norm: Norm, tensors: tuple[Tensor, Tensor, Tensor], beside: tuple[Tensor, ...]
) -> None:
    from mixdq.compiler.cuda.kernels.triton_group_norm import group_apply_kernel, group_parts_kernel

    batch, height, width, _ = norm.first.shape
    elements = height * width * norm.group
    part = max(_READ, _power_of_two(-(-elements // _MOST_PARTS)))
    count = -(-elements // part)
    parts = torch.empty((batch, norm.groups, 2, count), dtype=torch.float32, device=norm.first.device)
    parts_kernel: Any = traced(group_parts_kernel)
    parts_kernel[(count, norm.groups, batch)](
        *norm.inputs,
        parts,
        PIXELS=height * width,
        GROUP=norm.group,
        FIRST=norm.first.shape[-1],
        C=norm.channels,
        PART=part,
        BLOCK=_READ,
        num_warps=min(_WARPS, part // 1024),
    )
    out = tensors[-1]
    written = out.shape[1] * out.shape[2]
    across = -(-norm.channels // _CHANNELS)
    enough = -(-written // _PIXELS) * batch * across >= _ENOUGH_PROGRAMS
    block = _PIXELS if enough else _FEWER_PIXELS
    kernel: Any = traced(group_apply_kernel)
    kernel[(-(-written // block), across, batch)](
        *norm.inputs,
        parts,
        norm.weight,
        norm.bias,
        *tensors,
        *(beside or (out,) * 6),
        **_constants(norm, out, beside),
        PART=part,
        LANES=_power_of_two(count),
        SPANNED=_power_of_two(groups_spanned(norm.channels, norm.group)),
        BLOCK_M=block,
        BLOCK_N=_CHANNELS,
    )


def groups_spanned(channels: int, group: int) -> int:
    """The most groups that the channels of one program of a larger image are of."""
    starts = range(0, channels, _CHANNELS)
    lasts = (min(start + _CHANNELS, channels) - 1 for start in starts)
    return max(last // group - start // group + 1 for start, last in zip(starts, lasts, strict=True))


def _constants(norm: Norm, out: Tensor, beside: tuple[Tensor, ...]) -> dict[str, Any]:
    """What both kernels that write the result know when they are compiled."""
    _, height, width, first = norm.first.shape
    return {
        "HEIGHT": height,
        "WIDTH": width,
        "GROUP": norm.group,
        "EPS": norm.eps,
        "BORDER": norm.border,
        "BESIDE": bool(beside),
        "TO_INT8": out.dtype == torch.int8,
        "SILU": norm.silu,
        "FIRST": first,
        "C": norm.channels,
    }


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()
