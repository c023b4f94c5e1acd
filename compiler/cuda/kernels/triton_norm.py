# mypy: ignore-errors
# ruff: noqa: N803
# Triton's language has no types, and machines without a GPU have no Triton; what is known when a kernel is
# compiled has a name in capitals.
"""The Triton kernels of normalizations whose results are quantized where they lie."""

import triton
import triton.language as tl

from mixdq.compiler.cuda.kernels.triton_linear import to_int8


@triton.jit
def layer_norm_kernel(
    x,
    weight,
    bias,
    out_scale,
    out_zero,
    out,
    ROWS,
    C: tl.constexpr,
    EPS: tl.constexpr,
    TO_INT8: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """BLOCK_M whole rows of FP16 `x` [ROWS, C], read once and kept in registers."""
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    c = tl.arange(0, BLOCK_N)
    inside = (m < ROWS)[:, None] & (c < C)[None, :]
    at = m.to(tl.int64)[:, None] * C + c[None, :]
    values = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    factor = tl.load(weight + c, mask=c < C, other=0.0).to(tl.float32)
    shift = tl.load(bias + c, mask=c < C, other=0.0).to(tl.float32)
    mean = tl.sum(values, 1) / C
    centred = tl.where((c < C)[None, :], values - mean[:, None], 0.0)
    steepness = tl.math.rsqrt(tl.sum(centred * centred, 1) / C + EPS)
    normal = centred * steepness[:, None] * factor[None, :] + shift[None, :]
    if TO_INT8:
        tl.store(out + at, to_int8(normal, out_scale, out_zero), mask=inside)
    else:
        tl.store(out + at, normal.to(tl.float16), mask=inside)


@triton.jit
def side_by_side(first, second, row, c, inside, FIRST: tl.constexpr, C: tl.constexpr):
    """FP32 of two tensors [rows, FIRST] and [rows, C - FIRST] as if they were one; `second` may be absent."""
    values = tl.load(first + row * FIRST + c, mask=inside & (c < FIRST), other=0.0)
    if FIRST < C:
        others = tl.load(second + row * (C - FIRST) + (c - FIRST), mask=inside & (c >= FIRST), other=0.0)
        values = tl.where(c < FIRST, values, others)
    return values.to(tl.float32)


@triton.jit
def group_parts_kernel(
    first,
    second,
    parts,
    PIXELS,
    FIRST: tl.constexpr,
    C: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Of a block of an image's pixels each channel's mean and sum of squared differences from it.

    `parts` is FP32 [images, blocks, 2, C].
    """
    block = tl.program_id(0)
    image = tl.program_id(2)
    c = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    m = block * BLOCK_M + tl.arange(0, BLOCK_M)
    inside = (m < PIXELS)[:, None] & (c < C)[None, :]
    row = (image * PIXELS + m).to(tl.int64)[:, None]
    values = side_by_side(first, second, row, c[None, :], inside, FIRST, C)
    count = tl.minimum(PIXELS - block * BLOCK_M, BLOCK_M).to(tl.float32)
    mean = tl.sum(values, 0) / count
    centred = tl.where((m < PIXELS)[:, None], values - mean[None, :], 0.0)
    to = parts + (image * tl.num_programs(0) + block).to(tl.int64) * (2 * C) + c
    tl.store(to, mean, mask=c < C)
    tl.store(to + C, tl.sum(centred * centred, 0), mask=c < C)


@triton.jit
def group_terms_kernel(
    parts,
    weight,
    bias,
    terms,
    PIXELS,
    BLOCKS,
    C: tl.constexpr,
    GROUP: tl.constexpr,
    EPS: tl.constexpr,
    PART: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """From a group's parts, each of PART pixels, its channels' factor and shift: FP32 [images, 2, C]."""
    image = tl.program_id(1)
    lane = tl.arange(0, BLOCK_N)
    c = tl.program_id(0) * GROUP + lane
    block = tl.arange(0, BLOCK_M)
    inside = (block < BLOCKS)[:, None] & (lane < GROUP)[None, :]
    at = parts + (image * BLOCKS + block).to(tl.int64)[:, None] * (2 * C) + c[None, :]
    means = tl.load(at, mask=inside, other=0.0)
    squares = tl.load(at + C, mask=inside, other=0.0)
    counts = tl.minimum(PIXELS - block * PART, PART).to(tl.float32)[:, None]
    total = PIXELS * GROUP * 1.0
    mean = tl.sum(tl.sum(tl.where(inside, means * counts, 0.0), 1), 0) / total
    apart = tl.where(inside, counts * (means - mean) * (means - mean) + squares, 0.0)
    steepness = tl.math.rsqrt(tl.sum(tl.sum(apart, 1), 0) / total + EPS)
    factor = tl.load(weight + c, mask=lane < GROUP, other=0.0).to(tl.float32) * steepness
    shift = tl.load(bias + c, mask=lane < GROUP, other=0.0).to(tl.float32) - mean * factor
    to = terms + image * (2 * C) + c
    tl.store(to, factor, mask=lane < GROUP)
    tl.store(to + C, shift, mask=lane < GROUP)


@triton.jit
def group_apply_kernel(
    first,
    second,
    terms,
    out_scale,
    out_zero,
    out,
    first_scale,
    first_zero,
    second_scale,
    second_zero,
    first_out,
    second_out,
    HEIGHT,
    WIDTH,
    BORDER: tl.constexpr,
    BESIDE: tl.constexpr,
    TO_INT8: tl.constexpr,
    SILU: tl.constexpr,
    FIRST: tl.constexpr,
    C: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """A block of the bordered image: factor, shift, SiLU, quantized; the border stands for 0.

    With BESIDE what is read is quantized as it is, too, each input for itself.
    """
    image = tl.program_id(2)
    c = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    wide = WIDTH + 2 * BORDER
    pixels = (HEIGHT + 2 * BORDER) * wide
    y = m // wide - BORDER
    x = m % wide - BORDER
    within = (y >= 0) & (y < HEIGHT) & (x >= 0) & (x < WIDTH)
    row = (image * HEIGHT * WIDTH + y * WIDTH + x).to(tl.int64)[:, None]
    inside = within[:, None] & (c < C)[None, :]
    values = side_by_side(first, second, row, c[None, :], inside, FIRST, C)
    if BESIDE:
        steps = to_int8(values, first_scale, first_zero)
        tl.store(first_out + row * FIRST + c[None, :], steps, mask=inside & (c < FIRST)[None, :])
        if FIRST < C:
            steps = to_int8(values, second_scale, second_zero)
            at = row * (C - FIRST) + (c - FIRST)[None, :]
            tl.store(second_out + at, steps, mask=inside & (c >= FIRST)[None, :])
    factor = tl.load(terms + image * (2 * C) + c, mask=c < C, other=0.0)
    shift = tl.load(terms + image * (2 * C) + C + c, mask=c < C, other=0.0)
    values = values * factor[None, :] + shift[None, :]
    if SILU:
        values = values * tl.sigmoid(values)
    to = out + (image * pixels + m).to(tl.int64)[:, None] * C + c[None, :]
    stored = (m < pixels)[:, None] & (c < C)[None, :]
    if TO_INT8:
        steps = to_int8(values, out_scale, out_zero)
        tl.store(to, tl.where(within[:, None], steps, tl.load(out_zero).to(tl.int8)), mask=stored)
    else:
        tl.store(to, tl.where(within[:, None], values, 0.0).to(tl.float16), mask=stored)
