# mypy: ignore-errors
# ruff: noqa: N803
# Triton's language has no types; what is known when a kernel is compiled has a name in capitals.
"""The Triton kernel of attention, whose result is quantized where it lies, for the layer behind it."""

import triton
import triton.language as tl

from mixdq.compiler.cuda.kernels.triton_arithmetic import read_grid, to_int8


@triton.jit
def attention_kernel(
    query,
    key,
    value,
    out_scale,
    out_zero,
    out,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    QUERY_IMAGE: tl.constexpr,
    QUERY_ROW: tl.constexpr,
    KEY_IMAGE: tl.constexpr,
    KEY_ROW: tl.constexpr,
    VALUE_IMAGE: tl.constexpr,
    VALUE_ROW: tl.constexpr,
    # A constant: Inductor would hand over a number as FP64, and all that it touches would become FP64.
    FACTOR: tl.constexpr,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    TO_INT8: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """One block of one head's queries against all keys: softmax(q k^T * scale) v, HEADS * WIDTH values a row.

    FACTOR is the scale times log2(e). Strides are those of images and rows; a head's values are adjacent.
    """
    unit, origin = read_grid(out_scale, out_zero, TO_INT8)
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    image = tl.program_id(1) // HEADS
    head = tl.program_id(1) % HEADS
    lane = tl.arange(0, WIDTH)
    n = tl.arange(0, BLOCK_N)
    inside = (m < QUERIES)[:, None]
    q_at = query + image * QUERY_IMAGE + m[:, None] * QUERY_ROW + (head * WIDTH + lane)[None, :]
    q = tl.load(q_at, mask=inside, other=0.0)
    k_at = key + image * KEY_IMAGE + n[None, :] * KEY_ROW + (head * WIDTH + lane)[:, None]
    v_at = value + image * VALUE_IMAGE + n[:, None] * VALUE_ROW + (head * WIDTH + lane)[None, :]
    largest = tl.full((BLOCK_M,), float("-inf"), dtype=tl.float32)
    total = tl.zeros((BLOCK_M,), dtype=tl.float32)
    mixed = tl.zeros((BLOCK_M, WIDTH), dtype=tl.float32)
    for start in range(0, KEYS, BLOCK_N):
        left = KEYS - start
        if KEYS % BLOCK_N == 0:
            left = BLOCK_N
        scores = tl.dot(q, tl.load(k_at, mask=n[None, :] < left, other=0.0))
        if KEYS % BLOCK_N != 0:
            scores = tl.where(n[None, :] < left, scores, float("-inf"))
        highest = tl.maximum(largest, tl.max(scores, 1) * FACTOR)
        shares = tl.math.exp2(scores * FACTOR - highest[:, None])
        shrink = tl.math.exp2(largest - highest)
        total = total * shrink + tl.sum(shares, 1)
        mixed = mixed * shrink[:, None]
        v = tl.load(v_at, mask=n[:, None] < left, other=0.0)
        mixed = tl.dot(shares.to(tl.float16), v, mixed)
        largest = highest
        k_at += BLOCK_N * KEY_ROW
        v_at += BLOCK_N * VALUE_ROW
    mixed = mixed * (1.0 / total)[:, None]
    row = (image * QUERIES + m).to(tl.int64)
    to = out + row[:, None] * (HEADS * WIDTH) + (head * WIDTH + lane)[None, :]
    if TO_INT8:
        tl.store(to, to_int8(mixed, unit, origin), mask=inside)
    else:
        tl.store(to, mixed.to(tl.float16), mask=inside)
