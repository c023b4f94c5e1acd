"""What a kernel takes inside a CUDA graph, its weights read from memory each time, as in a whole UNet.

A graph holds many launches that take their weights in turn from copies which together exceed the GPU's
cache; the activations stay the same, as they would have just been written. Gaps between launches count.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mixdq.compiler.cuda.kernels.convolution import Window, int8_conv2d, launch_window_sums
from mixdq.compiler.cuda.kernels.geglu import int8_geglu
from mixdq.compiler.cuda.kernels.linear import Work, int8_linear, int8_text_linear, launch_sums
from mixdq.compiler.cuda.kernels.packing import BLOCK
from mixdq.compiler.cuda.kernels.shapes import (
    Attention,
    Convolution,
    Entry,
    GroupNorm,
    LayerNorm,
    Linear,
    TextAttention,
)
from mixdq.compiler.cuda.kernels.tiles import Shape, Tile, TileTable, tiles_of
from mixdq.compiler.cuda.kernels.unweighted import UnweightedOperands, unweighted_operands
from mixdq.compiler.cuda.kernels.weight_only import launch_weight_only_sums, w4a16_linear, w8a16_linear
from mixdq.configs.errors import MachineError

# Twice the 50 to 60 MB of a Hopper GPU's cache.
_FLUSHING_BYTES = 112 * 2**20
_MOST_COPIES = 96
_LAUNCHES = 24

Launch = Callable[[int], object]
"""Launches the kernel with one copy of its weights."""


@dataclass(frozen=True, slots=True)
class Time:
    """Microseconds a launch: the median over replays, the least and the greatest."""

    median: float
    least: float
    greatest: float


def require_gpu() -> str:
    """The name of this machine's GPU.

    Raises:
        MachineError: there is none that CUDA can use.
    """
    if not torch.cuda.is_available():
        raise MachineError(
            "kernels are timed on a GPU, and CUDA finds none here; run this on a machine with one"
        )
    return torch.cuda.get_device_name()


def shape_of(entry: Entry, batch: int = 1) -> Shape:
    """By what tiles are found."""
    work = entry.work
    if isinstance(work, Convolution):
        return Shape(entry.operator, batch * work.pixels, work.n, work.k * work.taps**2)
    if isinstance(work, Attention):
        return Shape(entry.operator, work.queries, batch * work.heads, work.keys)
    if isinstance(work, TextAttention):
        return Shape(entry.operator, batch * work.queries, work.heads * work.width, work.heads * work.width)
    if isinstance(work, LayerNorm):
        return Shape(entry.operator, batch * work.rows, work.channels, 1)
    if isinstance(work, GroupNorm):
        return Shape(entry.operator, batch * work.side**2, work.first + work.second, 1)
    n = work.n // 2 if entry.operator == "int8_geglu" else work.n
    return Shape(entry.operator, batch * work.m, n, work.k)


def time_launches(launch: Launch, weight_bytes: int, replays: int = 15) -> Time:
    """Captures launches into a graph and replays it."""
    copies = copies_of(weight_bytes)
    launches = max(_LAUNCHES, copies)
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        launch(0)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for index in range(launches):
            launch(index % copies)
    graph.replay()
    times = []
    for _ in range(replays):
        start, end = _event(), _event()
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1000 / launches)
    return Time(statistics.median(times), min(times), max(times))


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def copies_of(weight_bytes: int) -> int:
    """How many copies of a weight exceed the cache."""
    return max(2, min(_MOST_COPIES, -(-_FLUSHING_BYTES // weight_bytes)))


@dataclass(frozen=True, slots=True)
class Operands:
    """Random tensors of one shape of the UNet, on the GPU.

    Attributes:
        entry: the shape.
        x: INT8 activations, channels last.
        weights: INT8 copies.
        terms: of each copy scale (FP32), offset (INT32) and bias (FP16), a column each.
        residual: FP16 of the result's form, or None.
        blocks: FP16 scales of four-bit weights, empty if there are none.
        one: FP32 1.
        zero: INT32 0.
    """

    entry: Entry
    x: Tensor
    weights: list[Tensor]
    terms: list[tuple[Tensor, Tensor, Tensor]]
    residual: Tensor | None
    blocks: Tensor
    one: Tensor
    zero: Tensor

    @property
    def weight_bytes(self) -> int:
        """Of one INT8 copy."""
        return self.weights[0].numel()

    def launch(self, tile: Tile) -> Launch:
        """The operator with one tile; of split sums the kernel alone, whose end another kernel takes over."""
        shape = shape_of(self.entry, self.x.shape[0])
        table = TileTable("", {shape: tile})

        def run(index: int) -> object:
            with tiles_of(table):
                return self._sums(index, tile) if tile.splits > 1 else self._operator(index)

        return run

    def _sums(self, index: int, tile: Tile) -> Tensor:
        weight, work = self.weights[index], self.entry.work
        if self.entry.operator in ("w8a16_linear", "w4a16_linear"):
            scale = self.blocks if weight.dtype == torch.uint8 else self.terms[index][0]
            return launch_weight_only_sums(self.x, weight, scale, tile)
        if isinstance(work, Convolution):
            return launch_window_sums(Window(self.x, weight, work.stride, "int8_conv2d"), tile)
        return launch_sums(Work(self.x, weight, self.entry.operator), tile)

    def _operator(self, index: int) -> object:
        weight, work = self.weights[index], self.entry.work
        scale, offset, bias = self.terms[index]
        if isinstance(work, Convolution):
            return int8_conv2d(
                self.x,
                self.zero,
                weight,
                scale,
                offset,
                bias,
                None,
                self.residual,
                work.stride,
                0,
            )
        if self.entry.operator == "int8_geglu":
            return int8_geglu(self.x, weight, scale, offset, bias, self.one, self.zero)
        if self.entry.operator == "w8a16_linear":
            return w8a16_linear(self.x, weight, scale, bias, self.residual)
        if self.entry.operator == "w4a16_linear":
            return w4a16_linear(self.x, weight, self.blocks, bias, self.residual)
        if self.entry.operator == "int8_text_linear":
            return int8_text_linear(self.x, weight, scale, offset, None, bias)
        return int8_linear(self.x, weight, scale, offset, bias, self.residual)


def operands(entry: Entry, batch: int = 1, copies: int | None = None) -> Operands | UnweightedOperands:
    """Draws them, by default as many copies of the weights as exceed the cache; images have their border."""
    work = entry.work
    if isinstance(work, Attention | TextAttention | LayerNorm | GroupNorm):
        return unweighted_operands(entry, shape_of(entry, batch), batch)
    if isinstance(work, Convolution):
        border = 2 * work.padding
        x = _int8(batch, work.height + border, work.width + border, work.k)
        form: tuple[int, ...] = (work.n, work.taps, work.taps, work.k)
        out: tuple[int, ...] = (batch, _side(work.height, work), _side(work.width, work), work.n)
    else:
        x = _int8(batch, work.m, work.k)
        form, out = (work.n, work.k), (batch, work.m, work.n)
    weight = _int8(*form)
    blocks = weight.new_empty(0)
    if entry.operator in ("w8a16_linear", "w4a16_linear"):
        x = torch.randn(x.shape, device="cuda").half()
    if entry.operator == "w4a16_linear":
        weight = weight[:, : work.k // 2].contiguous().view(torch.uint8)
        blocks = torch.rand(work.n, work.k // BLOCK, device="cuda").half()
    weights = [weight.clone() for _ in range(copies or copies_of(weight.numel()))]
    return Operands(
        entry,
        x,
        weights,
        [_terms(work.n) for _ in weights],
        torch.randn(out, device="cuda").half() if entry.residual else None,
        blocks,
        torch.ones(1, device="cuda"),
        torch.zeros(1, device="cuda", dtype=torch.int32),
    )


def time_half(entry: Entry, batch: int = 1) -> Time:
    """The layer in FP16 by cuBLAS, or cuDNN channels last: product and bias, without gate and residual."""
    work = entry.work
    if isinstance(work, Attention | TextAttention | LayerNorm | GroupNorm):
        rest = unweighted_operands(entry, shape_of(entry, batch), batch)
        return time_launches(lambda _: rest.half(), rest.weight_bytes)
    if isinstance(work, Linear):
        x = torch.randn(batch * work.m, work.k, device="cuda").half()
        weight = torch.randn(work.n, work.k, device="cuda").half()
        biases = [torch.randn(work.n, device="cuda").half() for _ in range(_MOST_COPIES)]
        copies = [weight.clone() for _ in range(copies_of(weight.numel() * 2))]
        return time_launches(lambda i: functional.linear(x, copies[i], biases[i]), weight.numel() * 2)
    last = torch.channels_last
    image = torch.randn(batch, work.k, work.height, work.width, device="cuda").half()
    image = image.contiguous(memory_format=last)
    filters = torch.randn(work.n, work.k, work.taps, work.taps, device="cuda").half()
    filters = filters.contiguous(memory_format=last)
    bias = torch.randn(work.n, device="cuda").half()
    turns = [filters.clone() for _ in range(copies_of(filters.numel() * 2))]
    torch.backends.cudnn.benchmark = True
    return time_launches(
        lambda i: functional.conv2d(image, turns[i], bias, stride=work.stride, padding=work.padding),
        filters.numel() * 2,
    )


def _terms(n: int) -> tuple[Tensor, Tensor, Tensor]:
    scale = torch.rand(n, device="cuda") * 1e-5
    offset = torch.randint(-99, 99, (n,), device="cuda", dtype=torch.int32)
    return scale, offset, torch.randn(n, device="cuda").half()


def _int8(*shape: int) -> Tensor:
    return torch.randint(-128, 128, shape, device="cuda", dtype=torch.int8)


def _side(size: int, work: Convolution) -> int:
    return (size + 2 * work.padding - work.taps) // work.stride + 1
