"""Sine and cosine of a float32 together, for loops that shall become vector instructions.

Half of a sine network's time on a CPU goes into `torch.sin`, and into `torch.cos` for the gradient.
Both share the reduction of the argument, and float32 needs only short polynomials: together they
take an eighth of the time of the two.
"""

import numpy as np

from smalti.jit import njit

_F = np.float32
_ONE_OVER_PI = _F(1 / np.pi)
_PI_HIGH = _F(3.140625)  # few enough bits for exact products with whole numbers under 2**14
_PI_LOW = _F(np.pi - 3.140625)
_END = _F(np.pi / 2 + 0.001)  # of r: k is one too small or large just beside a half
_HALF, _ONE, _TWO = _F(0.5), _F(1), _F(2)
# Least squares on Chebyshev nodes of [-pi/2, pi/2]; sin(r) / r and cos(r) in powers of r^2.
_S0, _S1, _S2, _S3, _S4 = (
    _F(0.9999999765137563),
    _F(-0.1666664759348975),
    _F(0.008332899222834127),
    _F(-0.00019800865307220694),
    _F(2.59043003064674e-06),
)
_C0, _C1, _C2, _C3, _C4, _C5 = (
    _F(0.9999999997799017),
    _F(-0.4999999935695629),
    _F(0.0416666362089298),
    _F(-0.0013888360842561481),
    _F(2.4760135517332138e-05),
    _F(-2.6051076379429716e-07),
)


@njit(nogil=True, error_model="numpy", fastmath={"contract"}, forceinline=True)
def sin_cos(z):
    """sin(z) and cos(z) of a float32, within 3e-6 for |z| up to 10,000; 35 operations, no calls.

    Not reassociated: that would undo the two-part pi.
    """
    # z = k pi + r with |r| <= pi/2; sine and cosine change sign with odd k
    k = np.floor(z * _ONE_OVER_PI + _HALF)
    r = (z - k * _PI_HIGH) - k * _PI_LOW
    r = min(max(r, -_END), _END)  # beyond |z| of 10,000 k pi is no longer exact
    sign = _ONE - _TWO * (k - _TWO * np.floor(k * _HALF))
    s = r * r
    sine = sign * r * (_S0 + s * (_S1 + s * (_S2 + s * (_S3 + s * _S4))))
    cosine = sign * (_C0 + s * (_C1 + s * (_C2 + s * (_C3 + s * (_C4 + s * _C5)))))
    return sine, cosine
