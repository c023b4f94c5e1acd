# mypy: ignore-errors
# ruff: noqa: N803
# Triton's language has no types, and machines without a GPU have no Triton; what is known when a kernel is
# compiled has a name in capitals.
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
    ROWS,
    C: tl.constexpr,
    EPS: tl.constexpr,
    TO_INT8: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """BLOCK_M whole rows of FP16 `x` [ROWS, C], read once and kept in registers."""
    unit, origin = read_grid(out_scale, out_zero, TO_INT8)
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
        tl.store(out + at, to_int8(normal, unit, origin), mask=inside)
    else:
        tl.store(out + at, normal.to(tl.float16), mask=inside)
