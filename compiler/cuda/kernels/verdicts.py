"""One operator on random operands against FP64, and its INT32 sums bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mixdq.compiler.cuda.kernels import exact
from mixdq.compiler.cuda.kernels.convolution import Window, int8_conv2d, launch_window_sums, w8a16_conv2d
from mixdq.compiler.cuda.kernels.geglu import int8_geglu, int8_geglu_half, launch_geglu
from mixdq.compiler.cuda.kernels.linear import (
    Work,
    int8_linear,
    int8_quantized_linear,
    int8_text_linear,
    launch_sums,
)
from mixdq.compiler.cuda.kernels.packing import BLOCK, pack_int4, row_offsets
from mixdq.compiler.cuda.kernels.shapes import Convolution, Linear
from mixdq.compiler.cuda.kernels.weight_only import w4a16_linear, w8a16_linear

# Rounding a result to FP16 moves it by at most 2^-11 of itself, in the mean by 40 % of that.
_TOLERANCE = 4e-4
# INT8 results differ from FP64's only where FP32 falls on the other side of a half.
_FLIPS = 2e-3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one case gave.

    Attributes:
        case: operator and shape.
        error: norm of result - reference, over the reference's norm; of INT8 results, the share that is off
            by one (infinite if one is off by more).
        right: whether the error is within bounds, and the INT32 sums are exact.
    """

    case: str
    error: float
    right: bool


@dataclass(frozen=True, slots=True)
class Draw:
    """Random operands on a device; the same for the same seed, whatever was drawn before."""

    device: torch.device
    seed: int = 7

    def int8(self, *shape: int) -> Tensor:
        """All of INT8."""
        return (
            torch.randint(-128, 128, shape, generator=self._generator(shape)).to(torch.int8).to(self.device)
        )

    def half(self, *shape: int) -> Tensor:
        """FP16, normal."""
        return torch.randn(shape, generator=self._generator(shape)).half().to(self.device)

    def scales(self, *shape: int, least: float = 1e-5) -> Tensor:
        """FP32 from `least` to its threefold."""
        return (least * (1 + 2 * torch.rand(shape, generator=self._generator(shape)))).to(self.device)

    def _generator(self, shape: tuple[int, ...]) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed + math.prod(shape) % 1009)


Check = Callable[[Draw], Verdict]
Grid = tuple[Tensor, Tensor]
"""A quantizer's scale and zero point."""


def flips_of(got: Tensor, expected: Tensor, grid: Grid) -> float:
    """The share of integers that are off by one from `expected` on a grid; infinite if one is off by more."""
    steps = (expected / grid[0].double()).round().add(grid[1]).clamp(-128, 127)
    off = (got.double() - steps).abs()
    return float((off > 0).double().mean()) if float(off.max()) <= 1 else math.inf


def check_linear(draw: Draw, work: Linear, *, zero: int = 9) -> Verdict:
    """`int8_linear`, `int8_quantized_linear` and, where they run on a GPU, their sums."""
    x, weight = draw.int8(work.m, work.k), draw.int8(work.n, work.k)
    scale, offset = draw.scales(work.n), row_offsets(weight, zero)
    bias, residual = draw.half(work.n), draw.half(work.m, work.n)
    got = int8_linear(x, weight, scale, offset, bias, residual)
    expected = _centred_product(x, zero, weight) * scale.double() + bias.double() + residual.double()
    exact_sums = not x.is_cuda or _sums_are_exact(x, weight)
    half = _verdict(f"int8_linear {work}", got, expected, exact_sums)
    grid = _quantizer(draw, float(expected.abs().max()) / 100, zero)
    steps = int8_quantized_linear(x, weight, scale, offset, bias, residual, *grid)
    flips = flips_of(steps, expected, grid)
    return Verdict(half.case, max(flips, half.error), half.right and flips < _FLIPS)


def check_text_linear(draw: Draw, work: Linear, *, tokens: int = 77) -> Verdict:
    """`int8_text_linear`: the first token's row of each text is the constant."""
    x, weight = draw.int8(work.m // tokens, tokens, work.k), draw.int8(work.n, work.k)
    scale, first = draw.scales(work.n), draw.half(work.n)
    got = int8_text_linear(x, weight, scale, None, None, first)
    expected = _centred_product(x, 0, weight) * scale.double()
    expected[:, 0] = first.double()
    return _verdict(f"int8_text_linear {work}", got, expected)


def check_geglu(draw: Draw, work: Linear, *, zero: int = 11) -> Verdict:
    """`int8_geglu`, `int8_geglu_half` and the sums of both; the work's n counts both halves."""
    x, weight = draw.int8(work.m, work.k), draw.int8(work.n, work.k)
    scale, offset, bias = draw.scales(work.n), row_offsets(weight, zero), draw.half(work.n)
    value, gate = (_centred_product(x, zero, weight) * scale.double() + bias.double()).chunk(2, -1)
    expected = value * functional.gelu(gate)
    half = _verdict("", int8_geglu_half(x, weight, scale, offset, bias), expected)
    grid = _quantizer(draw, float(expected.abs().max()) / 100, zero)
    flips = flips_of(int8_geglu(x, weight, scale, offset, bias, *grid), expected, grid)
    sums_right = True
    if x.is_cuda:
        sums = torch.empty((work.m, work.n), dtype=torch.int32, device=x.device)
        launch_geglu(x, weight, [None, None, None, None, None, sums], sums_only=True)
        sums_right = torch.equal(sums, exact.product(x, weight))
    return Verdict(f"int8_geglu {work}", max(flips, half.error), half.right and flips < _FLIPS and sums_right)


def check_convolution(draw: Draw, work: Convolution, *, batch: int = 1, zero: int = -5) -> Verdict:
    """`int8_conv2d` and, where it runs on a GPU, its sums."""
    x = draw.int8(batch, work.height, work.width, work.k)
    weight = draw.int8(work.n, work.taps, work.taps, work.k)
    scale, offset = draw.scales(work.n), row_offsets(weight, zero)
    bias, channels = draw.half(work.n), draw.half(batch, work.n)
    border = torch.tensor([zero], dtype=torch.int32, device=x.device)
    image = x.double() - zero
    sums = _convolved(image, weight.double(), work)
    residual = draw.half(*sums.shape)
    got = int8_conv2d(x, border, weight, scale, offset, bias, channels, residual, work.stride, work.padding)
    expected = sums * scale.double() + bias.double() + channels.double()[:, None, None] + residual.double()
    exact_sums = True
    if x.is_cuda:
        bordered = exact.padded(x, work.padding, border)
        window = Window(bordered, weight, work.stride, "int8_conv2d")
        planes = launch_window_sums(window, window.tile()).sum(0, dtype=torch.int32)
        exact_sums = torch.equal(
            planes.reshape(window.out_shape), exact.convolution(bordered, weight, work.stride)
        )
    return _verdict(f"int8_conv2d {work} batch {batch}", got, expected, exact_sums)


def check_half_convolution(draw: Draw, work: Convolution, *, batch: int = 1) -> Verdict:
    """`w8a16_conv2d`."""
    x = draw.half(batch, work.height, work.width, work.k)
    weight = draw.int8(work.n, work.taps, work.taps, work.k)
    scale, bias = draw.scales(work.n, least=1e-3), draw.half(work.n)
    got = w8a16_conv2d(x, weight, scale, bias, None, None, work.stride, work.padding)
    expected = _convolved(x.double(), weight.double(), work) * scale.double() + bias.double()
    return _verdict(f"w8a16_conv2d {work} batch {batch}", got, expected)


def check_weight_only(draw: Draw, work: Linear) -> Verdict:
    """`w8a16_linear`, and `w4a16_linear` where the inputs divide into blocks."""
    x, weight = draw.half(work.m, work.k), draw.int8(work.n, work.k)
    scale, bias, residual = draw.scales(work.n, least=1e-3), draw.half(work.n), draw.half(work.m, work.n)
    added = bias.double() + residual.double()
    got = w8a16_linear(x, weight, scale, bias, residual)
    eight = _rounded_thrice("", got, x.double() @ weight.double().T * scale.double() + added)
    if work.k % BLOCK:
        return Verdict(f"w8a16_linear {work}", eight.error, eight.right)
    steps = weight >> 4
    factors = draw.scales(work.n, work.k // BLOCK, least=1e-2).half()
    dequantized = steps.half() * factors.repeat_interleave(BLOCK, dim=1)
    got = w4a16_linear(x, pack_int4(steps), factors, bias, residual)
    four = _rounded_thrice("", got, x.double() @ dequantized.double().T + added)
    return Verdict(
        f"w8a16_linear, w4a16_linear {work}", max(eight.error, four.error), eight.right and four.right
    )


def _centred_product(x: Tensor, zero: int, weight: Tensor) -> Tensor:
    return (x.double() - zero) @ weight.double().T


def _convolved(image: Tensor, filters: Tensor, work: Convolution) -> Tensor:
    found = functional.conv2d(
        image.permute(0, 3, 1, 2), filters.permute(0, 3, 1, 2), stride=work.stride, padding=work.padding
    )
    return found.permute(0, 2, 3, 1)


def _sums_are_exact(x: Tensor, weight: Tensor) -> bool:
    work = Work(x, weight, "int8_linear")
    sums = launch_sums(work, work.tile()).sum(0, dtype=torch.int32)
    return torch.equal(sums, exact.product(x, weight))


def _quantizer(draw: Draw, scale: float, zero: int) -> Grid:
    return (
        torch.tensor([scale], dtype=torch.float32, device=draw.device),
        torch.tensor([zero], dtype=torch.int32, device=draw.device),
    )


def _rounded_thrice(case: str, got: Tensor, expected: Tensor) -> Verdict:
    """Weights, product and sum with the residual may each have been rounded to FP16."""
    error = _verdict(case, got, expected).error
    return Verdict(case, error, error < 2 * _TOLERANCE)


def _verdict(case: str, got: Tensor, expected: Tensor, exact_sums: bool = True) -> Verdict:
    error = float((got.double() - expected).norm() / expected.norm())
    return Verdict(case, error, exact_sums and error < _TOLERANCE)
