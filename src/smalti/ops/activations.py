"""Activations of a tile and their slopes in one pass, in numba: a small network's second cost.

    z ─activate→ a = f(z), f'(z)        sine: sin(30 z), 30 cos(30 z)

Arithmetic alone, no calls, so that the loops become vector instructions: 0.25 ns a value for the
sine and SiLU, 0.35 for GELU on one Zen 5 core. Values and slopes are within 1e-6 of the exact ones,
of the sine within the 3e-6 of `sin_cos` and what rounding 30 z to a float32 costs.
"""

import numpy as np

from smalti.jit import njit
from smalti.ops.elementary import exp
from smalti.ops.sine import sin_cos

OMEGA = 30.0  # of the sines (Sitzmann et al. 2020, arXiv 2006.09661, section 3.2)
ACTIVATIONS = ("siren", "gelu", "silu", "relu")  # the index is what kernels and files know
SIREN, GELU, SILU, RELU = range(4)

_F = np.float32
_OMEGA = _F(OMEGA)
_ROOT_HALF = _F(np.sqrt(0.5))
_ROOT_TAU = _F(1 / np.sqrt(2 * np.pi))
# The complementary error function over exp(-x^2) in powers of 1 / (1 + p x), within 1.5e-7:
# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
_P = _F(0.3275911)
_A1, _A2, _A3, _A4, _A5 = map(
    _F, (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
)
_HALF, _ONE = _F(0.5), _F(1)

_inlined = njit(nogil=True, error_model="numpy", fastmath={"contract"}, forceinline=True)


@_inlined
def sigmoid(x):
    """1 / (1 + exp(-x)) of a float32."""
    return _ONE / (_ONE + exp(-x))


@_inlined
def gelu(x):
    """x Φ(x) of a float32, Φ the normal distribution's, and its slope Φ(x) + x Φ'(x)."""
    bell = exp(-_HALF * x * x)
    t = _ONE / (_ONE + _P * abs(x) * _ROOT_HALF)
    tail = _HALF * bell * (t * (_A1 + t * (_A2 + t * (_A3 + t * (_A4 + t * _A5)))))
    share = _ONE - tail if x > 0 else tail
    return x * share, share + x * _ROOT_TAU * bell


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def activate(kind, z, a):
    """a = f(z), and f'(z) in place of z, both `features P`; `kind` an index into `ACTIVATIONS`.

    In place, because arrays that may overlap, and did, would run without vector instructions.
    """
    features, texels = z.shape
    for o in range(features):
        if kind == SIREN:
            for p in range(texels):
                sine, cosine = sin_cos(_OMEGA * z[o, p])
                a[o, p] = sine
                z[o, p] = _OMEGA * cosine
        elif kind == GELU:
            for p in range(texels):
                value, slope = gelu(z[o, p])
                a[o, p] = value
                z[o, p] = slope
        elif kind == SILU:
            for p in range(texels):
                x = z[o, p]
                s = sigmoid(x)
                a[o, p] = x * s
                z[o, p] = s * (_ONE + x * (_ONE - s))
        else:
            for p in range(texels):
                x = z[o, p]
                rises = _ONE if x > 0 else _F(0)
                a[o, p] = x * rises
                z[o, p] = rises
