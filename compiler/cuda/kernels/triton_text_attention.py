# mypy: ignore-errors
# ruff: noqa: N803
# Triton's language has no types; what is known when a kernel is compiled has a name in capitals.
"""The Triton kernel of attention to a text, its queries computed where they are used."""

import triton
import triton.language as tl

from mixdq.compiler.cuda.kernels.triton_arithmetic import read_grid, to_int8
from mixdq.compiler.cuda.kernels.triton_linear import column_terms, first_sums, tile_of, wrapped


@triton.jit
def text_attention_kernel(
    x,
    weight,
    scale,
    offset,
    bias,
    key,
    value,
    out_scale,
    out_zero,
    out,
    TOKENS: tl.constexpr,
    KEYS: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    KEY_IMAGE: tl.constexpr,
    KEY_ROW: tl.constexpr,
    VALUE_IMAGE: tl.constexpr,
    VALUE_ROW: tl.constexpr,
    GROUP: tl.constexpr,
    FACTOR: tl.constexpr,
    HAS_OFFSET: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    EARLY: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """A block of one head's queries: INT8 `x` [TOKENS, K] times the head's rows of `weight`, then attention.

    All keys are one block. FACTOR is the scores' scale times log2(e); strides are those of images and rows.
    """
    unit, origin = read_grid(out_scale, out_zero, True)
    row, head = tile_of(tl.program_id(0), TOKENS, N, GROUP, BLOCK_M, WIDTH)
    image = tl.program_id(1)
    m = row * BLOCK_M + tl.arange(0, BLOCK_M)
    n = head * WIDTH + tl.arange(0, WIDTH)
    k = tl.arange(0, BLOCK_K)
    s = tl.arange(0, BLOCK_KEYS)
    x_at = x + (image * TOKENS + wrapped(m, TOKENS, BLOCK_M))[:, None] * K + k[None, :]
    w_at = weight + n[None, :] * K + k[:, None]
    if EARLY:
        scales, shifts = column_terms(scale, offset, bias, n, n < N, HAS_OFFSET, HAS_BIAS, EARLY)
    sums = first_sums(offset, n, n < N, HAS_OFFSET, EARLY, BLOCK_M, WIDTH)
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
    k_at = key + image * KEY_IMAGE + s[None, :] * KEY_ROW + n[:, None]
    v_at = value + image * VALUE_IMAGE + s[:, None] * VALUE_ROW + n[None, :]
    keys = tl.load(k_at, mask=s[None, :] < KEYS, other=0.0)
    values = tl.load(v_at, mask=s[:, None] < KEYS, other=0.0)
    if not EARLY:
        scales, shifts = column_terms(scale, offset, bias, n, n < N, HAS_OFFSET, HAS_BIAS, EARLY)
    query = (sums.to(tl.float32) * scales[None, :] + shifts[None, :]).to(tl.float16)
    scores = tl.where(s[None, :] < KEYS, tl.dot(query, keys), float("-inf"))
    shares = tl.math.exp2(scores * FACTOR - (tl.max(scores, 1) * FACTOR)[:, None])
    mixed = tl.dot(shares.to(tl.float16), values) * (1.0 / tl.sum(shares, 1))[:, None]
    result = to_int8(mixed, unit, origin)
    to = out + (image * TOKENS + m).to(tl.int64)[:, None] * N + n[None, :]
    tl.store(to, result, mask=(m < TOKENS)[:, None])
