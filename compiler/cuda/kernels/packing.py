"""The forms in which the kernels read weights: offsets of zero points, four-bit integers two a byte."""

from __future__ import annotations

import torch
from torch import Tensor

from mixdq.configs.errors import PlanError

BLOCK = 128
"""Inputs that share a scale of a four-bit weight."""

_HALF = BLOCK // 2


def row_offsets(weight: Tensor, zero: int) -> Tensor | None:
    """INT32 [N]: what a zero point adds to the sums of an INT8 weight [N, ...]; None for 0."""
    if zero == 0:
        return None
    rows = weight.reshape(weight.shape[0], -1).to(torch.int64).sum(1)
    return (-zero * rows).to(torch.int32)


def pack_int4(weight: Tensor) -> Tensor:
    """UINT8 [N, K / 2] of integers [N, K] from -8 to 7.

    Byte j of a block of 128 inputs holds input j in its low half and input j + 64 in its high half, each plus
    8: a kernel that splits bytes gets two runs of neighbouring inputs.

    Raises:
        PlanError: K is no multiple of 128, or a value needs more than four bits.
    """
    rows, inputs = weight.shape
    if inputs % BLOCK:
        raise PlanError(
            f"four-bit weights share a scale by {BLOCK} inputs, found {inputs} inputs; choose 8 bits for it"
        )
    if int(weight.min()) < -8 or int(weight.max()) > 7:
        raise PlanError(
            f"expected four-bit integers from -8 to 7, found {int(weight.min())} to {int(weight.max())}"
        )
    nibbles = (weight.to(torch.int16) + 8).reshape(rows, inputs // BLOCK, 2, _HALF)
    return (nibbles[:, :, 0] | (nibbles[:, :, 1] << 4)).to(torch.uint8).reshape(rows, inputs // 2)


def unpack_int4(packed: Tensor) -> Tensor:
    """INT8 [N, K] of what `pack_int4` packed."""
    rows, half = packed.shape
    pairs = packed.reshape(rows, half // _HALF, 1, _HALF).to(torch.int16)
    nibbles = torch.cat((pairs & 15, pairs >> 4), dim=2) - 8
    return nibbles.to(torch.int8).reshape(rows, 2 * half)
