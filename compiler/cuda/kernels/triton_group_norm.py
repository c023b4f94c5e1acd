# mypy: ignore-errors
# ruff: noqa: N803
# Triton's language has no types; what is known when a kernel is compiled has a name in capitals.
"""The Triton kernels of group norms whose results are quantized where they lie.

For statistics a group is a row of elements, pixel after pixel, so that no width of a group leaves lanes idle.
"""

import triton
import triton.language as tl

from mixdq.compiler.cuda.kernels.triton_arithmetic import logistic, read_grid, to_int8

_MINUS_LOG2_E = tl.constexpr(-1.4426950408889634)


@triton.jit
def side_by_side(first, second, row, c, inside, FIRST: tl.constexpr, C: tl.constexpr):
    """FP32 of two tensors [rows, FIRST] and [rows, C - FIRST] as if they were one; `second` may be absent."""
    if FIRST == C:
        values = tl.load(first + (row * C + c), mask=inside, other=0.0)
    else:
        values = tl.load(first + (row * FIRST + c), mask=inside & (c < FIRST), other=0.0)
        others = tl.load(second + (row * (C - FIRST) + (c - FIRST)), mask=inside & (c >= FIRST), other=0.0)
        values = tl.where(c < FIRST, values, others)
    return values.to(tl.float32)


@triton.jit
def without_border(image, m, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, BORDER: tl.constexpr):
    """Of pixels of a bordered image whether each is inside the border, and which row of the input it is."""
    wide: tl.constexpr = WIDTH + 2 * BORDER
    y = m // wide - BORDER
    x = m % wide - BORDER
    within = (y >= 0) & (y < HEIGHT) & (x >= 0) & (x < WIDTH)
    return within, (image * HEIGHT * WIDTH + y * WIDTH + x).to(tl.int64)


@triton.jit
def store_beside(values, row, c, inside, first, second, FIRST: tl.constexpr, C: tl.constexpr):
    """Quantizes what `side_by_side` read, each input for itself: scale, zero point and integers of each."""
    unit, origin = read_grid(first[0], first[1], True)
    tl.store(first[2] + row * FIRST + c, to_int8(values, unit, origin), mask=inside & (c < FIRST))
    if FIRST < C:
        unit, origin = read_grid(second[0], second[1], True)
        to = second[2] + row * (C - FIRST) + (c - FIRST)
        tl.store(to, to_int8(values, unit, origin), mask=inside & (c >= FIRST))


@triton.jit
def store_normal(values, to, within, stored, unit, origin, TO_INT8: tl.constexpr, SILU: tl.constexpr):
    """Stores values over `unit`, behind SiLU if wanted, that are `within` the border; it stands for 0."""
    if SILU:
        values *= logistic(values * (unit * _MINUS_LOG2_E))
    # Before it is packed: four integers to a register can't be chosen one by one.
    values = tl.where(within, values, 0.0)
    if TO_INT8:
        tl.store(to, to_int8(values, 1.0, origin), mask=stored)
    else:
        tl.store(to, values.to(tl.float16), mask=stored)


@triton.jit
def group_part(
    first,
    second,
    image,
    group,
    start,
    PIXELS: tl.constexpr,
    GROUP: tl.constexpr,
    FIRST: tl.constexpr,
    C: tl.constexpr,
    PART: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Mean and sum of squared differences of a group's elements from `start`, PART at most, read once."""
    total: tl.constexpr = PIXELS * GROUP
    # Numbers within an image have no sign and 32 bits: a division by GROUP is two instructions then.
    first += image.to(tl.int64) * (PIXELS * FIRST)
    second += image.to(tl.int64) * (PIXELS * (C - FIRST))
    blocks = ()
    for at in tl.static_range(0, PART, BLOCK):
        element = (start + at + tl.arange(0, BLOCK)).to(tl.uint32)
        row = element // GROUP
        c = element - row * GROUP + (group * GROUP).to(tl.uint32)
        block = side_by_side(first, second, row, c, element < total, FIRST, C)
        blocks += (block,)
    sums = tl.zeros((BLOCK,), dtype=tl.float32)
    for index in tl.static_range(len(blocks)):
        sums += blocks[index]
    mean = tl.sum(sums, 0) / tl.minimum(total - start, PART)
    squares = tl.zeros((BLOCK,), dtype=tl.float32)
    for index in tl.static_range(len(blocks)):
        centred = blocks[index] - mean
        if total % BLOCK != 0 or total % PART != 0:
            there = start + index * BLOCK + tl.arange(0, BLOCK) < total
            centred = tl.where(there, centred, 0.0)
        squares += centred * centred
    return mean, tl.sum(squares, 0)


@triton.jit
def group_parts_kernel(
    first,
    second,
    parts,
    PIXELS: tl.constexpr,
    GROUP: tl.constexpr,
    FIRST: tl.constexpr,
    C: tl.constexpr,
    PART: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Of each part of a group, PART elements, mean and sum of squared differences from it.

    `parts` is FP32 [images, groups, 2, parts].
    """
    part = tl.program_id(0)
    group = tl.program_id(1)
    image = tl.program_id(2)
    mean, squares = group_part(first, second, image, group, part * PART, PIXELS, GROUP, FIRST, C, PART, BLOCK)
    count = tl.num_programs(0)
    to = parts + (image * tl.num_programs(1) + group) * (2 * count) + part
    tl.store(to, mean)
    tl.store(to + count, squares)


@triton.jit
def group_norm_kernel(
    first,
    second,
    weight,
    bias,
    out_scale,
    out_zero,
    out,
    first_scale,
    first_zero,
    second_scale,
    second_zero,
    first_out,
    second_out,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    GROUP: tl.constexpr,
    EPS: tl.constexpr,
    BORDER: tl.constexpr,
    BESIDE: tl.constexpr,
    TO_INT8: tl.constexpr,
    SILU: tl.constexpr,
    FIRST: tl.constexpr,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
    WRITTEN: tl.constexpr,
):
    """WRITTEN elements of a group's bordered image; the whole group is read for its statistics.

    With BESIDE what is read is quantized as it is, too, each input for itself.
    """
    group = tl.program_id(1)
    image = tl.program_id(2)
    unit, origin = read_grid(out_scale, out_zero, TO_INT8)
    pixels: tl.constexpr = (HEIGHT + 2 * BORDER) * (WIDTH + 2 * BORDER)
    at = tl.program_id(0) * WRITTEN + tl.arange(0, WRITTEN)
    m = at // GROUP
    c = group * GROUP + at % GROUP
    within, row = without_border(image, m, HEIGHT, WIDTH, BORDER)
    values = side_by_side(first, second, row, c, within, FIRST, C)
    factor = tl.load(weight + c).to(tl.float32)
    shift = tl.load(bias + c).to(tl.float32)
    total: tl.constexpr = HEIGHT * WIDTH * GROUP
    mean, squares = group_part(first, second, image, group, 0, HEIGHT * WIDTH, GROUP, FIRST, C, total, BLOCK)
    if BESIDE:
        first_grid = (first_scale, first_zero, first_out)
        second_grid = (second_scale, second_zero, second_out)
        store_beside(values, row, c, within, first_grid, second_grid, FIRST, C)
    inverse = tl.div_rn(1.0, unit)
    steepness = tl.math.rsqrt(squares / total + EPS) * inverse
    values = (values - mean) * (factor * steepness) + shift * inverse
    to = out + (image * pixels + m).to(tl.int64) * C + c
    store_normal(values, to, within, m < pixels, unit, origin, TO_INT8, SILU)


@triton.jit
def channel_statistics(
    parts,
    image,
    start,
    TOTAL: tl.constexpr,
    GROUP: tl.constexpr,
    EPS: tl.constexpr,
    C: tl.constexpr,
    PART: tl.constexpr,
    LANES: tl.constexpr,
    SPANNED: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Of CHANNELS from `start` their groups' means and the reciprocals of their deviations, from the parts.

    Those groups are SPANNED at most, and each is merged once.
    """
    count: tl.constexpr = (TOTAL + PART - 1) // PART
    each: tl.constexpr = 1.0 / TOTAL
    part = tl.arange(0, LANES)
    offset = tl.arange(0, SPANNED)
    group = start // GROUP + offset
    inside = (part < count)[:, None] & (group < C // GROUP)[None, :]
    at = parts + (image * (C // GROUP) + group)[None, :] * (2 * count) + part[:, None]
    means = tl.load(at, mask=inside, other=0.0)
    squares = tl.load(at + count, mask=inside, other=0.0)
    counts = tl.where(part < count, tl.minimum(TOTAL - part * PART, PART), 0).to(tl.float32)[:, None]
    mean = tl.sum(means * counts, 0) * each
    apart = means - mean[None, :]
    steepness = tl.math.rsqrt(tl.sum(counts * apart * apart + squares, 0) * each + EPS)
    c = start + tl.arange(0, CHANNELS)
    own = tl.minimum(c // GROUP - start // GROUP, SPANNED - 1)  # beyond the last channel there is no group
    return tl.gather(mean, own, 0), tl.gather(steepness, own, 0)


@triton.jit
def group_apply_kernel(
    first,
    second,
    parts,
    weight,
    bias,
    out_scale,
    out_zero,
    out,
    first_scale,
    first_zero,
    second_scale,
    second_zero,
    first_out,
    second_out,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    GROUP: tl.constexpr,
    EPS: tl.constexpr,
    BORDER: tl.constexpr,
    BESIDE: tl.constexpr,
    TO_INT8: tl.constexpr,
    SILU: tl.constexpr,
    FIRST: tl.constexpr,
    C: tl.constexpr,
    PART: tl.constexpr,
    LANES: tl.constexpr,
    SPANNED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """A block of the bordered image, normalized by what `group_parts_kernel` found.

    LANES hold all parts of a group, SPANNED all groups of a block's channels.
    """
    image = tl.program_id(2)
    unit, origin = read_grid(out_scale, out_zero, TO_INT8)
    start = tl.program_id(1) * BLOCK_N
    c = start + tl.arange(0, BLOCK_N)
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    pixels: tl.constexpr = (HEIGHT + 2 * BORDER) * (WIDTH + 2 * BORDER)
    within, row = without_border(image, m, HEIGHT, WIDTH, BORDER)
    row = row[:, None]
    inside = within[:, None] & (c < C)[None, :]
    values = side_by_side(first, second, row, c[None, :], inside, FIRST, C)
    if BESIDE:
        first_grid = (first_scale, first_zero, first_out)
        second_grid = (second_scale, second_zero, second_out)
        store_beside(values, row, c[None, :], inside, first_grid, second_grid, FIRST, C)
    factor = tl.load(weight + c, mask=c < C, other=0.0).to(tl.float32)
    shift = tl.load(bias + c, mask=c < C, other=0.0).to(tl.float32)
    total: tl.constexpr = HEIGHT * WIDTH * GROUP
    mean, steepness = channel_statistics(
        parts, image, start, total, GROUP, EPS, C, PART, LANES, SPANNED, BLOCK_N
    )
    inverse = tl.div_rn(1.0, unit)
    factor *= steepness * inverse
    shift = shift * inverse - mean * factor
    values = values * factor[None, :] + shift[None, :]
    to = out + (image * pixels + m).to(tl.int64)[:, None] * C + c[None, :]
    stored = (m < pixels)[:, None] & (c < C)[None, :]
    store_normal(values, to, within[:, None], stored, unit, origin, TO_INT8, SILU)
