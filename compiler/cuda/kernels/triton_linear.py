# mypy: ignore-errors
# ruff: noqa: N803
# Triton's language has no types; what is known when a kernel is compiled has a name in capitals.
"""The Triton kernels of INT8 linear layers: INT32 sums in tensor cores, dequantized where they lie."""

import triton
import triton.language as tl

from mixdq.compiler.cuda.kernels.triton_arithmetic import read_grid, to_int8


@triton.jit
def tile_of(
    program,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Row and column of the tile that a program computes: down GROUP rows, then to the next column."""
    down: tl.constexpr = (ROWS + BLOCK_M - 1) // BLOCK_M
    if down <= GROUP:
        return program % down, program // down
    in_group: tl.constexpr = GROUP * ((COLUMNS + BLOCK_N - 1) // BLOCK_N)
    first = (program // in_group) * GROUP
    height = GROUP
    if down % GROUP != 0:
        height = min(down - first, GROUP)
    return first + (program % in_group) % height, (program % in_group) // height


@triton.jit
def steps_of(split, K: tl.constexpr, BLOCK_K: tl.constexpr, SPLITS: tl.constexpr):
    """Where the sums of a split begin, in blocks of K, and how many blocks they are of."""
    steps: tl.constexpr = (K + BLOCK_K - 1) // BLOCK_K
    if SPLITS == 1:
        return 0, steps
    share: tl.constexpr = (steps + SPLITS - 1) // SPLITS
    if steps % SPLITS == 0:
        return split * share, share
    return split * share, tl.maximum(tl.minimum(share, steps - split * share), 0)


@triton.jit
def wrapped(index, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """Rows or columns of a block, of SIZE in all: those outside wrap around, and are never stored."""
    if SIZE % BLOCK == 0:
        return index
    return index % SIZE


@triton.jit
def first_sums(
    offset,
    n,
    inside,
    HAS_OFFSET: tl.constexpr,
    EARLY: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """What INT32 sums start from: the columns' offsets, unless these are read with the other terms."""
    sums = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.int32)
    if HAS_OFFSET and not EARLY:
        sums += tl.load(offset + n, mask=inside, other=0)[None, :]
    return sums


@triton.jit
def column_terms(
    scale, offset, bias, n, inside, HAS_OFFSET: tl.constexpr, HAS_BIAS: tl.constexpr, EARLY: tl.constexpr
):
    """What ends the columns' sums: `sums * scale + shift`; early, the shift counts the offset too."""
    scales = tl.load(scale + n, mask=inside, other=0.0).to(tl.float32)
    shifts = tl.zeros_like(scales)
    if HAS_OFFSET and EARLY:
        shifts += tl.load(offset + n, mask=inside, other=0).to(tl.float32) * scales
    if HAS_BIAS:
        shifts += tl.load(bias + n, mask=inside, other=0.0).to(tl.float32)
    return scales, shifts


@triton.jit
def int8_linear_kernel(
    x,
    weight,
    scale,
    offset,
    bias,
    residual,
    first,
    out_scale,
    out_zero,
    out,
    M: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    GROUP: tl.constexpr,
    HAS_OFFSET: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
    FIRST_PERIOD: tl.constexpr,
    TO_INT8: tl.constexpr,
    SUMS_ONLY: tl.constexpr,
    EARLY: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    SPLITS: tl.constexpr,
):
    """One tile of `x` [M, K] times `weight` [N, K]; with SUMS_ONLY its INT32 sums, a plane for each split."""
    row, column = tile_of(tl.program_id(0), M, N, GROUP, BLOCK_M, BLOCK_N)
    m = row * BLOCK_M + tl.arange(0, BLOCK_M)
    n = column * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    start, steps = steps_of(tl.program_id(1), K, BLOCK_K, SPLITS)
    x_at = x + wrapped(m, M, BLOCK_M)[:, None] * K + (start * BLOCK_K + k)[None, :]
    w_at = weight + wrapped(n, N, BLOCK_N)[None, :] * K + (start * BLOCK_K + k)[:, None]
    stored = (m < M)[:, None] & (n < N)[None, :]
    to = m.to(tl.int64)[:, None] * N + n[None, :]
    unit, origin = read_grid(out_scale, out_zero, TO_INT8)
    # What a small tile has registers for is read now, so that nothing waits for it after the sums.
    if EARLY and not SUMS_ONLY:
        scales, shifts = column_terms(scale, offset, bias, n, n < N, HAS_OFFSET, HAS_BIAS, EARLY)
        if HAS_RESIDUAL:
            added = tl.load(residual + to, mask=stored, other=0.0)
    sums = first_sums(offset, n, n < N, HAS_OFFSET, EARLY, BLOCK_M, BLOCK_N)
    for step in range(steps):
        if K % BLOCK_K == 0:
            x_tile = tl.load(x_at)
            w_tile = tl.load(w_at)
        else:
            left = K - (start + step) * BLOCK_K
            x_tile = tl.load(x_at, mask=k[None, :] < left, other=0)
            w_tile = tl.load(w_at, mask=k[:, None] < left, other=0)
        sums = tl.dot(x_tile, w_tile, sums, out_dtype=tl.int32)
        x_at += BLOCK_K
        w_at += BLOCK_K
    if SUMS_ONLY:
        tl.store(out + tl.program_id(1).to(tl.int64) * M * N + to, sums, mask=stored)
    else:
        if not EARLY:
            scales, shifts = column_terms(scale, offset, bias, n, n < N, HAS_OFFSET, HAS_BIAS, EARLY)
            if HAS_RESIDUAL:
                added = tl.load(residual + to, mask=stored, other=0.0)
        real = sums.to(tl.float32) * scales[None, :] + shifts[None, :]
        if HAS_RESIDUAL:
            real += added.to(tl.float32)
        if FIRST_PERIOD > 0:
            constant = tl.load(first + n, mask=n < N, other=0.0).to(tl.float32)
            real = tl.where((m % FIRST_PERIOD == 0)[:, None], constant[None, :], real)
        if TO_INT8:
            tl.store(out + to, to_int8(real, unit, origin), mask=stored)
        else:
            tl.store(out + to, real.to(tl.float16), mask=stored)
