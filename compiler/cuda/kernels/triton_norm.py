# mypy: ignore-errors
# ruff: noqa: N803
# Triton's language has no types; what is known when a kernel is compiled has a name in capitals.
"""The Triton kernel of layer norms whose results are quantized where they lie."""

import triton
import triton.language as tl

from mixdq.compiler.cuda.kernels.triton_arithmetic import read_grid, to_int8


@triton.jit
def layer_norm_kernel(
    x,
    weight,
    bias,
    out_scale,
    out_zero,
    out,
    ROWS: tl.constexpr,
    C: tl.constexpr,
    EPS: tl.constexpr,
    TO_INT8: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """BLOCK_M whole rows of FP16 `x` [ROWS, C], read once, BLOCK_N channels at a time, and kept."""
    unit, origin = read_grid(out_scale, out_zero, TO_INT8)
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    c = tl.arange(0, BLOCK_N)[None, :]
    at = m.to(tl.int64)[:, None] * C + c
    # As many rows as `x` has here: each thread reads what it needs, and nothing changes threads.
    every = tl.zeros((BLOCK_M, 1), dtype=tl.int32) + c
    blocks = ()
    factors = ()
    shifts = ()
    for start in tl.static_range(0, C, BLOCK_N):
        inside = _inside(m, c + start, ROWS, C, BLOCK_N)
        blocks += (tl.load(x + at + start, mask=inside, other=0.0).to(tl.float32),)
        factors += (tl.load(weight + start + every, mask=inside, other=0.0).to(tl.float32),)
        shifts += (tl.load(bias + start + every, mask=inside, other=0.0).to(tl.float32),)
    sums = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for index in tl.static_range(len(blocks)):
        sums += blocks[index]
    mean = (tl.sum(sums, 1) * (1.0 / C))[:, None]
    squares = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for index in tl.static_range(len(blocks)):
        centred = blocks[index] - mean
        if C % BLOCK_N != 0:
            centred = tl.where(c < C - index * BLOCK_N, centred, 0.0)
        squares += centred * centred
    steepness = tl.math.rsqrt(tl.sum(squares, 1) * (1.0 / C) + EPS)[:, None]
    for index in tl.static_range(len(blocks)):
        start = index * BLOCK_N
        normal = (blocks[index] - mean) * steepness * factors[index] + shifts[index]
        inside = _inside(m, c + start, ROWS, C, BLOCK_N)
        if TO_INT8:
            tl.store(out + at + start, to_int8(normal, unit, origin), mask=inside)
        else:
            tl.store(out + at + start, normal.to(tl.float16), mask=inside)


@triton.jit
def _inside(m, c, ROWS: tl.constexpr, C: tl.constexpr, BLOCK_N: tl.constexpr):
    """What there is of rows `m` and channels `c`; where blocks fill the channels, nobody asks for these."""
    inside = (m < ROWS)[:, None]
    if C % BLOCK_N != 0:
        inside = inside & (c < C)
    return inside
