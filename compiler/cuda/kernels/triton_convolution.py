# mypy: ignore-errors
# ruff: noqa: N803, N806
# Triton's language has no types; what is known when a kernel is compiled has a name in capitals.
"""The Triton kernel of convolutions, channels last, as products: a pixel's row is its window, tap by tap."""

import triton
import triton.language as tl

from mixdq.compiler.cuda.kernels.triton_linear import column_terms, first_sums, steps_of, tile_of, wrapped


@triton.jit
def convolution_kernel(
    x,
    weight,
    scale,
    offset,
    bias,
    residual,
    channel_bias,
    out,
    M: tl.constexpr,
    N: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    OUT_HEIGHT: tl.constexpr,
    OUT_WIDTH: tl.constexpr,
    GROUP: tl.constexpr,
    C: tl.constexpr,
    TAPS: tl.constexpr,
    STRIDE: tl.constexpr,
    HAS_OFFSET: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
    HAS_CHANNEL_BIAS: tl.constexpr,
    INTEGER: tl.constexpr,
    SUMS_ONLY: tl.constexpr,
    EARLY: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    SPLITS: tl.constexpr,
):
    """One tile of M = batch * OUT_HEIGHT * OUT_WIDTH pixels and N channels; `x` already has its border.

    `x` is [batch, HEIGHT, WIDTH, C], `weight` [N, TAPS, TAPS, C]. The taps of a window's row and their
    channels lie next to each other in both, so each row of the window is one run of TAPS * C values.
    With INTEGER `x` is INT8 and sums are INT32; without it `x` is FP16 and the weights become FP16.
    """
    K: tl.constexpr = TAPS * TAPS * C
    RUN: tl.constexpr = TAPS * C
    row, column = tile_of(tl.program_id(0), M, N, GROUP, BLOCK_M, BLOCK_N)
    m = row * BLOCK_M + tl.arange(0, BLOCK_M)
    n = column * BLOCK_N + tl.arange(0, BLOCK_N)
    lane = tl.arange(0, BLOCK_K)
    pixel = wrapped(m, M, BLOCK_M)
    image = pixel // (OUT_HEIGHT * OUT_WIDTH)
    place = pixel % (OUT_HEIGHT * OUT_WIDTH)
    top = (place // OUT_WIDTH) * STRIDE
    left = (place % OUT_WIDTH) * STRIDE
    x_rows = x + ((image * HEIGHT + top) * WIDTH + left)[:, None] * C
    w_columns = weight + wrapped(n, N, BLOCK_N)[None, :] * K
    start, steps = steps_of(tl.program_id(1), K, BLOCK_K, SPLITS)
    stored = (m < M)[:, None] & (n < N)[None, :]
    to = m.to(tl.int64)[:, None] * N + n[None, :]
    # What a small tile has registers for is read now, so that nothing waits for it after the sums.
    if EARLY and not SUMS_ONLY:
        scales, shifts = column_terms(scale, offset, bias, n, n < N, HAS_OFFSET, HAS_BIAS, EARLY)
        if HAS_RESIDUAL:
            added = tl.load(residual + to, mask=stored, other=0.0)
    if INTEGER:
        sums = first_sums(offset, n, n < N, HAS_OFFSET, EARLY, BLOCK_M, BLOCK_N)
    else:
        sums = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for step in range(start, start + steps):
        k = step * BLOCK_K + lane
        if RUN % BLOCK_K == 0:
            whole = step // (RUN // BLOCK_K)
            x_at = (
                x_rows + (whole * (WIDTH * C) + (step - whole * (RUN // BLOCK_K)) * BLOCK_K + lane)[None, :]
            )
        else:
            x_at = x_rows + ((k // RUN) * (WIDTH * C) + k % RUN)[None, :]
        w_at = w_columns + k[:, None]
        if K % BLOCK_K == 0:
            x_tile = tl.load(x_at)
            w_tile = tl.load(w_at)
        else:
            x_tile = tl.load(x_at, mask=(k < K)[None, :], other=0)
            w_tile = tl.load(w_at, mask=(k < K)[:, None], other=0)
        if INTEGER:
            sums = tl.dot(x_tile, w_tile, sums, out_dtype=tl.int32)
        else:
            sums = tl.dot(x_tile, w_tile.to(tl.float16), sums)
    if SUMS_ONLY:
        tl.store(out + tl.program_id(1).to(tl.int64) * M * N + to, sums, mask=stored)
    else:
        if not EARLY:
            scales, shifts = column_terms(scale, offset, bias, n, n < N, HAS_OFFSET, HAS_BIAS, EARLY)
            if HAS_RESIDUAL:
                added = tl.load(residual + to, mask=stored, other=0.0)
        real = sums.to(tl.float32) * scales[None, :] + shifts[None, :]
        if HAS_CHANNEL_BIAS:
            at = image[:, None] * N + n[None, :]
            real += tl.load(channel_bias + at, mask=stored, other=0.0).to(tl.float32)
        if HAS_RESIDUAL:
            real += added.to(tl.float32)
        tl.store(out + to, real.to(tl.float16), mask=stored)
