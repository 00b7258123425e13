"""Grid values in training: noise in the place of rounding, and Adam."""

import numpy as np

from smalti.jit import njit
from smalti.ops.elementary import as_float, tanh

FAST = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
ONE, HALF, TWO = np.float32(1), np.float32(0.5), np.float32(2)
MIX_1, MIX_2 = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)


@njit(nogil=True, forceinline=True, error_model="numpy")
def uniform(number, key):
    """A float32 in [-1/2, 1/2) from two 32-bit numbers, by an integer hash."""
    h = np.uint32(number) ^ key
    h = np.uint32((h ^ (h >> np.uint32(16))) * MIX_1)  # numba multiplies in 64 bits
    h = np.uint32((h ^ (h >> np.uint32(15))) * MIX_2)
    h = h ^ (h >> np.uint32(16))
    # 23 random bits as the mantissa of a number in [1, 2)
    return as_float(np.int32((h >> np.uint32(9)) | np.uint32(0x3F800000))) - np.float32(1.5)


@njit(**FAST)
def soften(first, last, values, temperature, amplitude, key, seen, slope):
    """seen = soft(soft(value) + noise), slope = its derivative by the value.

    Soft rounding: with r = y - floor(y) - 1/2, soft(y) = floor(y) + 1/2 + tanh(r / T) / (2 tanh(1 /
    2T)): the identity for large T, rounding for small (Agustsson and Theis 2020, arXiv 2006.09952;
    twice, with the noise between, as in Kim et al. 2023, arXiv 2312.02753).
    """
    inverse = ONE / temperature
    scale = HALF / tanh(HALF * inverse)
    steep = scale * inverse
    for i in range(first, last):
        y = values[i]
        whole = np.floor(y) + HALF
        t = tanh((y - whole) * inverse)
        y = whole + scale * t + amplitude * uniform(i, key)
        whole = np.floor(y) + HALF
        u = tanh((y - whole) * inverse)
        seen[i] = whole + scale * u
        slope[i] = steep * (ONE - t * t) * steep * (ONE - u * u)


@njit(**FAST)
def adam(first, last, values, gradient, mean, spread, rate, beta_1, beta_2, unbias_1, unbias_2):
    """One step of Adam (Kingma and Ba 2015, algorithm 1); sets the gradient to 0."""
    for i in range(first, last):
        g = gradient[i]
        m = beta_1 * mean[i] + (ONE - beta_1) * g
        v = beta_2 * spread[i] + (ONE - beta_2) * g * g
        mean[i], spread[i] = m, v
        values[i] -= rate * (m * unbias_1) / (np.sqrt(v * unbias_2) + np.float32(1e-12))
        gradient[i] = 0
