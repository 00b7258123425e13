"""exp, log and tanh of float32 as plain arithmetic, so that loops over them become vectors."""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from smalti.jit import njit

INLINED = {
    "nogil": True,
    "error_model": "numpy",
    "forceinline": True,
    "fastmath": {"contract", "nsz"},
}

LOG2_E, LN_2 = np.float32(math.log2(math.e)), np.float32(math.log(2))
ONE, HALF, TWO = np.float32(1), np.float32(0.5), np.float32(2)
# 1.5 * 2**23: adding it rounds to a whole number, which then stands in the low bits
ROUNDER = np.float32(12582912)
SMALLEST, LARGEST = np.float32(-87), np.float32(88)  # exp of these is still a normal number
BIAS, MANTISSA, HALF_BITS = np.int32(127), np.int32(0x7FFFFF), np.int32(0x3F000000)
# 2**r, |r| <= 1/2: Taylor's coefficients ln(2)**k / k!
E2, E3, E4, E5, E6 = (np.float32(math.log(2) ** k / math.factorial(k)) for k in (2, 3, 4, 5, 6))
# ln((1 + t) / (1 - t)) = 2 (t + t^3 / 3 + ...), |t| <= 0.172
L3, L5, L7, L9 = (np.float32(1 / k) for k in (3, 5, 7, 9))
ROOT = np.float32(math.sqrt(0.5))


@intrinsic
def as_float(typing, bits):
    """The float32 that has these 32 bits."""

    def generate(context, builder, signature, values):
        return builder.bitcast(values[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def as_bits(typing, value):
    """The 32 bits of a float32."""

    def generate(context, builder, signature, values):
        return builder.bitcast(values[0], ir.IntType(32))

    return types.int32(types.float32), generate


@njit(**INLINED)
def exp(x):
    """e**x for -87 <= x <= 88, relatively within 1e-7 + 5e-8 |x|; beyond, its value at the ends."""
    x = SMALLEST if x < SMALLEST else x
    x = LARGEST if x > LARGEST else x
    x = x * LOG2_E
    shifted = x + ROUNDER
    r = x - (shifted - ROUNDER)
    power = ((((E6 * r + E5) * r + E4) * r + E3) * r + E2) * r + LN_2
    scale = as_float((as_bits(shifted) + BIAS) << np.int32(23))
    return (power * r + ONE) * scale


@njit(**INLINED)
def log(x):
    """ln x within 2e-7 + 2e-7 |ln x|, for positive normal x."""
    bits = as_bits(x)
    e = np.float32((bits >> np.int32(23)) - BIAS + np.int32(1))
    m = as_float((bits & MANTISSA) | HALF_BITS)  # in [1/2, 1)
    small = m < ROOT
    m = m + m if small else m
    e = e - ONE if small else e
    t = (m - ONE) / (m + ONE)
    s = t * t
    return e * LN_2 + TWO * t * ((((L9 * s + L7) * s + L5) * s + L3) * s + ONE)


@njit(**INLINED)
def tanh(x):
    """tanh x within 3e-7."""
    e = exp(TWO * x)
    return ONE - TWO / (e + ONE)
