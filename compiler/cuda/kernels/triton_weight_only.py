# mypy: ignore-errors
# ruff: noqa: N803
# Triton's language has no types; what is known when a kernel is compiled has a name in capitals.
"""The Triton kernels of weight-only linear layers: weights become FP16 on their way to the product.

The product is computed transposed, weights times activations: Hopper's matrix instructions take their first
operand from registers, where the weights are widened, and only the second must lie in shared memory.
"""

import triton
import triton.language as tl

from mixdq.compiler.cuda.kernels.triton_linear import steps_of, tile_of, wrapped

# The bits of FP16 1024, whose last ten count by ones.
_THOUSAND = tl.constexpr(0x6400)


@triton.jit
def counted(values, ORIGIN: tl.constexpr):
    """FP16 of unsigned integers below 1024, less ORIGIN: by their bits, without a conversion."""
    return (values.to(tl.uint16) | _THOUSAND).to(tl.float16, bitcast=True) - (1024.0 + ORIGIN)


@triton.jit
def weight_only_linear_kernel(
    x,
    weight,
    scale,
    bias,
    residual,
    out,
    M: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    GROUP: tl.constexpr,
    BITS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    SPLITS: tl.constexpr,
):
    """One tile of FP16 `x` [M, K] times `weight`: INT8 [N, K], or [N, K / 2] bytes of two four-bit integers.

    With SPLITS above 1 `out` is FP32 [SPLITS, M, N], the parts of the sums alone.

    Eight bits have a scale a channel, which multiplies the sums. Four bits have a scale for each 128 inputs,
    [N, K / 128], which multiplies the weights in FP16; byte j of such a block holds the inputs j and j + 64.
    """
    row, column = tile_of(tl.program_id(0), M, N, GROUP, BLOCK_M, BLOCK_N)
    m = row * BLOCK_M + tl.arange(0, BLOCK_M)
    n = column * BLOCK_N + tl.arange(0, BLOCK_N)
    sums = tl.zeros((BLOCK_N, BLOCK_M), dtype=tl.float32)
    start, steps = steps_of(tl.program_id(1), K, BLOCK_K, SPLITS)
    rows = wrapped(m, M, BLOCK_M)
    columns = wrapped(n, N, BLOCK_N)
    if BITS == 8:
        k = tl.arange(0, BLOCK_K)
        x_at = x + rows[None, :] * K + (start * BLOCK_K + k)[:, None]
        w_at = weight + columns[:, None] * K + (start * BLOCK_K + k)[None, :]
        for step in range(start, start + steps):
            if K % BLOCK_K == 0:
                x_tile = tl.load(x_at)
                w_tile = tl.load(w_at)
            else:
                x_tile = tl.load(x_at, mask=k[:, None] < K - step * BLOCK_K, other=0)
                w_tile = tl.load(w_at, mask=k[None, :] < K - step * BLOCK_K, other=0)
            sums = tl.dot(counted(w_tile.to(tl.uint8, bitcast=True) ^ 128, 128), x_tile, sums)
            x_at += BLOCK_K
            w_at += BLOCK_K
        sums *= tl.load(scale + n, mask=n < N, other=0.0).to(tl.float32)[:, None]
    else:
        k = tl.arange(0, 64)
        x_at = x + rows[None, :] * K + (start * 128 + k)[:, None]
        w_at = weight + columns[:, None] * (K // 2) + (start * 64 + k)[None, :]
        scale_at = scale + columns * (K // 128) + start
        factor = tl.load(scale_at, mask=n * 0 + start < K // 128, other=0.0)
        for step in range(start, start + steps):
            # The next step's scales are on their way while this one is computed.
            scale_at += 1
            following = tl.load(scale_at, mask=n * 0 + step < K // 128 - 1, other=0.0)
            low_x = tl.load(x_at)
            high_x = tl.load(x_at + 64)
            pair = tl.load(w_at)
            low = counted(pair & 15, 8) * factor.to(tl.float16)[:, None]
            high = counted(pair >> 4, 8) * factor.to(tl.float16)[:, None]
            sums = tl.dot(low, low_x, sums)
            sums = tl.dot(high, high_x, sums)
            x_at += 128
            w_at += 64
            factor = following
    stored = (m < M)[:, None] & (n < N)[None, :]
    to = m.to(tl.int64)[:, None] * N + n[None, :]
    if SPLITS > 1:
        tl.store(out + tl.program_id(1).to(tl.int64) * M * N + to, tl.trans(sums), mask=stored)
    else:
        if HAS_BIAS:
            sums += tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)[:, None]
        real = tl.trans(sums)
        if HAS_RESIDUAL:
            real += tl.load(residual + to, mask=stored, other=0.0).to(tl.float32)
        tl.store(out + to, real.to(tl.float16), mask=stored)


@triton.jit
def widen_kernel(
    weight,
    scale,
    out,
    BYTES: tl.constexpr,
    K: tl.constexpr,
    BITS: tl.constexpr,
    RUNS: tl.constexpr,
    RUN: tl.constexpr,
):
    """FP16 `out` [N, K] of a packed weight of so many BYTES: each number times its scale.

    A program takes RUNS runs of RUN bytes; those of a run share a scale.
    """
    run = tl.program_id(0) * RUNS + tl.arange(0, RUNS)
    at = run[:, None] * RUN + tl.arange(0, RUN)[None, :]
    inside = at < BYTES
    begun = run * RUN < BYTES
    packed = tl.load(weight + at, mask=inside, other=0)
    if BITS == 8:
        factor = tl.load(scale + run * RUN // K, mask=begun, other=0.0).to(tl.float32)
        tl.store(out + at, (packed.to(tl.float32) * factor[:, None]).to(tl.float16), mask=inside)
    else:
        # A run is a block of 128 inputs, one in each half of a byte.
        factor = tl.load(scale + run, mask=begun, other=0.0).to(tl.float16)[:, None]
        low = out + run[:, None] * RUN + at
        tl.store(low, counted(packed & 15, 8) * factor, mask=inside)
        tl.store(low + RUN, counted(packed >> 4, 8) * factor, mask=inside)
