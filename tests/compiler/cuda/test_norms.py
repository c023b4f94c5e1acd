"""Norms that quantize, against the norm in plain arithmetic and its quantizer behind it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mixdq.compiler.cuda.convolutions import Int8Convolution
from mixdq.compiler.cuda.fans import Fan, Slot
from mixdq.compiler.cuda.forms import InputGrid
from mixdq.compiler.cuda.norms import GroupNorm, LayerNorm
from mixdq.compiler.cuda.products import HalfProduct, Int8Product, Product, Quantize

GRID = InputGrid(0.02, -9)
CPU = torch.device("cpu")


def _half(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).half()


def _integers(*shape: int) -> Tensor:
    return torch.randint(-128, 128, shape, generator=torch.Generator().manual_seed(1)).to(torch.int8)


def _group_norm(channels: int, *, silu: bool = True) -> GroupNorm:
    return GroupNorm(_half(channels), _half(channels, seed=2), groups=4, eps=1e-5, silu=silu)


def _layer_norm(channels: int) -> LayerNorm:
    return LayerNorm(_half(channels), _half(channels, seed=2), eps=1e-5)


def _int8_product(outputs: int, grid: InputGrid) -> Int8Product:
    return Int8Product(_integers(outputs, 32), torch.full((outputs,), 1e-3), None, grid)


def _off_by(found: Tensor, expected: Tensor) -> tuple[int, float]:
    """The greatest difference, and the share of values that differ."""
    off = (found.int() - expected.int()).abs()
    return int(off.max()), float((off > 0).float().mean())


def test_a_layer_norm_quantizes_what_it_computes() -> None:
    norm, grid, tokens = _layer_norm(64), Quantize(GRID, CPU), _half(2, 33, 64, seed=3)
    most, share = _off_by(norm.quantized(tokens, grid), grid(norm(tokens)))
    # The plain norm rounds to FP16 before it is quantized.
    assert most <= 1
    assert share < 0.02


@pytest.mark.parametrize("silu", [True, False])
def test_a_group_norm_quantizes_what_it_computes(silu: bool) -> None:
    norm, grid, pixels = _group_norm(32, silu=silu), Quantize(GRID, CPU), _half(2, 5, 6, 32, seed=3)
    most, share = _off_by(norm.quantized((pixels,), grid, 0), grid(norm(pixels)))
    assert most <= 1
    assert share < 0.02


def test_two_images_side_by_side_are_one() -> None:
    norm, grid, pixels = _group_norm(32), Quantize(GRID, CPU), _half(1, 4, 4, 32)
    whole = norm.quantized((pixels,), grid, 1)
    assert torch.equal(norm.quantized((pixels[..., :12], pixels[..., 12:]), grid, 1), whole)


@pytest.mark.parametrize("split", [None, 12])
def test_what_a_group_norm_reads_is_quantized_beside_it(split: int | None) -> None:
    norm, grid, pixels = _group_norm(32), Quantize(GRID, CPU), _half(2, 4, 5, 32)
    parts = (pixels,) if split is None else (pixels[..., :split], pixels[..., split:])
    grids = [Quantize(InputGrid(0.01 * (1 + index), index - 3), CPU) for index in range(len(parts))]
    found, beside = norm.quantized_beside(parts, grid, 1, grids)
    assert torch.equal(found, norm.quantized(parts, grid, 1))
    assert [one.shape for one in beside] == [part.shape for part in parts]
    for one, part, own in zip(beside, parts, grids, strict=True):
        most, share = _off_by(one, own(part))
        assert most <= 1
        assert share < 0.02


def test_a_product_quantizes_for_the_one_that_reads_it() -> None:
    first, second = _int8_product(32, GRID), _int8_product(8, InputGrid(0.5, 4))
    activation, residual = _integers(3, 32), _half(3, 32)
    most, share = _off_by(
        first.before(second, activation, residual), second.quantize(first(activation, residual))
    )
    # FP16 lies between the two where they are apart.
    assert most <= 1
    assert share < 0.05
    plain = HalfProduct(_half(8, 32), None)
    assert torch.equal(first.before(plain, activation, residual), first(activation, residual))


def test_the_border_of_a_group_norm_is_the_zero_point() -> None:
    bordered = _group_norm(8).quantized((_half(1, 3, 3, 8),), Quantize(GRID, CPU), 1)
    assert bordered.shape == (1, 5, 5, 8)
    bordered[:, 1:-1, 1:-1] = GRID.zero
    assert torch.equal(bordered, torch.full_like(bordered, GRID.zero))


def test_a_convolution_of_a_norm_pads_as_one_of_its_integers() -> None:
    norm, pixels = _group_norm(8), _half(1, 5, 4, 8)
    convolution = Int8Convolution(
        _integers(6, 8, 3, 3), torch.full((6,), 1e-3), _half(6), GRID, stride=1, padding=1
    )
    integers = norm.quantized((pixels,), convolution.grid, 0)
    found = convolution.of_norm(norm, (pixels,), pixels)
    assert torch.equal(found, convolution(integers))


def test_layers_of_one_grid_read_one_norm() -> None:
    norm = _layer_norm(32)
    grids = (GRID, GRID, InputGrid(0.05, 3))
    products: list[Product] = [_int8_product(4, grid) for grid in grids]
    products.append(HalfProduct(_half(4, 32), None))
    fan = Fan(products, [Slot(index, 0, 4) for index in range(4)])
    tokens = _half(2, 3, 32)
    asked = []

    class Counting(LayerNorm):
        def before(self, product: Product, tokens: Tensor) -> Tensor:
            asked.append(product)
            return super().before(product, tokens)

    outputs = fan.of_norm(Counting(norm.weight, norm.bias, eps=1e-5), tokens)
    assert asked == [products[0], products[2], products[3]]
    for product, output in zip(products, outputs, strict=True):
        assert torch.equal(output, product(norm.before(product, tokens)))
