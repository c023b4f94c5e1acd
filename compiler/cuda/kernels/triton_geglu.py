# mypy: ignore-errors
# ruff: noqa: N803
# Triton's language has no types; what is known when a kernel is compiled has a name in capitals.
"""The Triton kernel of GEGLU: both halves of a product in one sum, and the gate where they lie."""

import triton
import triton.language as tl

from mixdq.compiler.cuda.kernels.triton_arithmetic import logistic, read_grid, to_int8
from mixdq.compiler.cuda.kernels.triton_linear import column_terms, first_sums, tile_of, wrapped


@triton.jit
def normal_share(x):
    """Phi(x) = (1 + erf(x / sqrt 2)) / 2, within 2e-6: a logistic function of an odd polynomial.

    Nine instructions, of which two are of a unit that is idle otherwise; the library's erf takes some 40.
    """
    square = x * x
    exponent = -4.111694579478353e-06 * square + 0.00010587486030999571
    exponent = exponent * square + 0.00025341406580992043
    exponent = exponent * square - 0.10500594228506088
    exponent = exponent * square - 2.3021652698516846
    return logistic(x * exponent)


@triton.jit
def int8_geglu_kernel(
    x,
    weight,
    scale,
    offset,
    bias,
    out_scale,
    out_zero,
    out,
    M: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    GROUP: tl.constexpr,
    HAS_OFFSET: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    TO_INT8: tl.constexpr,
    SUMS_ONLY: tl.constexpr,
    EARLY: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One tile of `value * gelu(gate)`: `weight` [2N, K] holds the values' rows, then the gates'.

    A block of values' rows and their gates' are read as one operand: a matrix instruction of twice as many
    columns reads the activations once, where two would wait for shared memory.
    """
    row, column = tile_of(tl.program_id(0), M, N, GROUP, BLOCK_M, BLOCK_N)
    m = row * BLOCK_M + tl.arange(0, BLOCK_M)
    n = column * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    lane = tl.arange(0, 2 * BLOCK_N)
    both = wrapped(column * BLOCK_N + lane % BLOCK_N, N, BLOCK_N) + (lane // BLOCK_N) * N
    x_at = x + wrapped(m, M, BLOCK_M)[:, None] * K + k[None, :]
    w_at = weight + both[None, :] * K + k[:, None]
    inside = n < N
    unit, origin = read_grid(out_scale, out_zero, TO_INT8)
    # What there are registers for is read now, so that nothing waits for it after the sums.
    if EARLY and not SUMS_ONLY:
        scales, shifts = column_terms(scale, offset, bias, n, inside, HAS_OFFSET, HAS_BIAS, EARLY)
        gate_scales, gate_shifts = column_terms(
            scale + N, offset + N, bias + N, n, inside, HAS_OFFSET, HAS_BIAS, EARLY
        )
    sums = first_sums(offset, both, both < 2 * N, HAS_OFFSET, EARLY, BLOCK_M, 2 * BLOCK_N)
    for step in range(tl.cdiv(K, BLOCK_K)):
        if K % BLOCK_K == 0:
            x_tile = tl.load(x_at)
            w_tile = tl.load(w_at)
        else:
            left = K - step * BLOCK_K
            x_tile = tl.load(x_at, mask=k[None, :] < left, other=0)
            w_tile = tl.load(w_at, mask=k[:, None] < left, other=0)
        sums = tl.dot(x_tile, w_tile, sums, out_dtype=tl.int32)
        x_at += BLOCK_K
        w_at += BLOCK_K
    # A thread holds the same columns of both halves, so this moves nothing.
    values, gates = tl.split(tl.permute(tl.reshape(sums, (BLOCK_M, 2, BLOCK_N)), (0, 2, 1)))
    stored = (m < M)[:, None] & inside[None, :]
    if SUMS_ONLY:
        to = m.to(tl.int64)[:, None] * (2 * N) + n[None, :]
        tl.store(out + to, values, mask=stored)
        tl.store(out + to + N, gates, mask=stored)
    else:
        if not EARLY:
            scales, shifts = column_terms(scale, offset, bias, n, inside, HAS_OFFSET, HAS_BIAS, EARLY)
            gate_scales, gate_shifts = column_terms(
                scale + N, offset + N, bias + N, n, inside, HAS_OFFSET, HAS_BIAS, EARLY
            )
        value = values.to(tl.float32) * scales[None, :] + shifts[None, :]
        gate = gates.to(tl.float32) * gate_scales[None, :] + gate_shifts[None, :]
        gated = value * gate * normal_share(gate)
        to = m.to(tl.int64)[:, None] * N + n[None, :]
        if TO_INT8:
            tl.store(out + to, to_int8(gated, unit, origin), mask=stored)
        else:
            tl.store(out + to, gated.to(tl.float16), mask=stored)
