from __future__ import annotations

import pytest
import torch

from mixdq.compiler.cuda.kernels.packing import pack_int4, row_offsets, unpack_int4
from mixdq.configs.errors import PlanError


def test_a_byte_holds_two_inputs_that_are_64_apart() -> None:
    weight = torch.zeros((1, 128), dtype=torch.int8)
    weight[0, 3], weight[0, 67] = -8, 7
    packed = pack_int4(weight)
    assert packed.shape == (1, 64)
    assert packed[0, 3].item() == 0xF0
    assert packed[0, 4].item() == 0x88


def test_unpacking_gives_what_was_packed() -> None:
    weight = torch.randint(-8, 8, (5, 384), generator=torch.Generator().manual_seed(1)).to(torch.int8)
    assert torch.equal(unpack_int4(pack_int4(weight)), weight)


def test_inputs_that_make_no_whole_blocks_are_refused() -> None:
    with pytest.raises(PlanError, match="found 320 inputs"):
        pack_int4(torch.zeros((2, 320), dtype=torch.int8))


def test_wider_integers_are_refused() -> None:
    with pytest.raises(PlanError, match="found -8 to 8"):
        pack_int4(torch.arange(-8, 120, dtype=torch.int8).clamp(max=8).reshape(1, 128))


def test_an_offset_undoes_the_zero_point() -> None:
    weight = torch.tensor([[1, 2], [-3, 4]], dtype=torch.int8)
    offsets = row_offsets(weight, 5)
    assert offsets is not None
    assert offsets.tolist() == [-15, -5]
    assert row_offsets(weight, 0) is None
