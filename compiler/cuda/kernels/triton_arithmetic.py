# mypy: ignore-errors
# ruff: noqa: N803
# Triton's language has no types; what is known when a kernel is compiled has a name in capitals.
"""Arithmetic that Triton kernels share: quantizing, and the logistic function.

Triton's interpreter has no machine instructions: there the same is said in Triton's own words.
"""

import triton
import triton.language as tl

# 1.5 * 2^23, whose last place is 1: added to an FP32 number below 2^22, it rounds it half to even, and the
# sum's bits are those of the integer after its own.
_ROUNDER = tl.constexpr(12582912.0)
_ROUNDER_BITS = tl.constexpr(0x4B400000)
# Four integers saturated to 8 bits, two by two, into one register.
_PACK = tl.constexpr(
    "{ .reg .b32 upper;"
    " cvt.pack.sat.s8.s32.b32 upper, $4, $3, 0;"
    " cvt.pack.sat.s8.s32.b32 $0, $2, $1, upper; }"
)


_INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


@triton.jit
def read_grid(scale, zero, TO_INT8: tl.constexpr):
    """What `to_int8` takes, from FP32 [1] and INT32 [1]; 1 and 0 where nothing is quantized.

    A kernel reads them when it starts: they come from memory, and nothing should wait for them in the end.
    """
    unit = 1.0
    origin = 0
    if TO_INT8:
        unit = tl.load(scale)
        origin = tl.load(zero)
    return unit, origin


@triton.jit
def to_int8(values, unit, origin):
    """The quantizer: FP32 times 1 / unit, rounded half to even, plus the zero point, saturated."""
    steps = tl.clamp(values * tl.div_rn(1.0, unit), -4096.0, 4096.0)
    whole = (steps + _ROUNDER).to(tl.int32, bitcast=True) + (origin - _ROUNDER_BITS)
    if _INTERPRETED:
        return tl.minimum(tl.maximum(whole, -128), 127).to(tl.int8)
    return tl.inline_asm_elementwise(_PACK, "=r,r,r,r,r", [whole], dtype=tl.int8, is_pure=True, pack=4)


@triton.jit
def logistic(exponent):
    """1 / (1 + 2^exponent), to FP32's last places: two instructions of the unit for special functions."""
    if _INTERPRETED:
        return 1.0 / (1.0 + tl.math.exp2(exponent))
    return tl.inline_asm_elementwise(
        "rcp.approx.ftz.f32 $0, $1;",
        "=f,f",
        [1.0 + tl.math.exp2(exponent)],
        dtype=tl.float32,
        is_pure=True,
        pack=1,
    )
