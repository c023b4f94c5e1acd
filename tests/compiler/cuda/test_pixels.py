"""The decoder that gives bytes, against the runtime's own arithmetic on the decoder's values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mixdq.compiler.cuda.package import compile_package
from mixdq.compiler.cuda.pixels import PixelDecoder
from mixdq.runtime.cuda_engine import load_package
from mixdq.runtime.images import to_pixels

LEVELS = 255


def _hard_values() -> Tensor:
    """`[2, 3, 64, 96]`: random ones, half of them beyond [-1, 1], and those half-way between two levels."""
    values = 1.5 * torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    middles = (2 * torch.arange(LEVELS, dtype=torch.float64) + 1) / LEVELS - 1
    near = torch.stack([middles.float(), middles.float().nextafter(torch.tensor(9.0)), -middles.float()])
    values[0].flatten()[: near.numel()] = near.flatten()
    return values


def test_bytes_are_those_that_the_runtime_makes_of_the_values() -> None:
    values = _hard_values()
    halves = (values / 2 + 0.5) * LEVELS
    assert (halves == halves.floor() + 0.5).sum() > 10, "ties to even must be among them"
    pixels, finite = PixelDecoder(nn.Identity())(values)
    assert (pixels.dtype, pixels.is_contiguous(), finite.tolist()) == (torch.uint8, True, [True, True])
    np.testing.assert_array_equal(pixels.numpy(), to_pixels(values.numpy()))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_no_number_is_told_of_its_picture_alone(value: float) -> None:
    values = _hard_values()
    values[1, 2, 63, 95] = value
    pixels, finite = PixelDecoder(nn.Identity())(values)
    assert finite.tolist() == [True, False]
    assert pixels[1, 63, 95, 2] == (LEVELS if value > 0 else 0)


def test_its_package_gives_the_same_bytes(tmp_path: Path) -> None:
    values, path = _hard_values(), tmp_path / "pixels.pt2"
    outputs = compile_package(PixelDecoder(nn.Identity()).eval(), (values,), path)
    assert [(output.dtype, tuple(output.shape)) for output in outputs] == [
        (torch.uint8, (2, 64, 96, 3)),
        (torch.bool, (2,)),
    ]
    loaded = load_package(torch, path, {})
    expected = to_pixels(values.numpy())
    values[1, 0, 0, 0] = float("nan")
    pixels, finite = loaded.loader.boxed_run([values])
    assert finite.tolist() == [True, False]
    expected[1, 0, 0, 0] = 0
    np.testing.assert_array_equal(pixels.numpy(), expected)
