"""Loops over the 16 texels of a mode 6 block, for seed.py, exact in float32.

A block is worked on in one flat float32 array, `work`, in rows of 16 texels or 16 palette entries;
the constants below are the rows' offsets. Each loop of 16 becomes two 8-wide vectors. Every float32
here is an integer or a multiple of 1/64 or 1/4096, and every sum stays under 2 ** 24 of its units,
so float32 is exact: `fastmath` may reorder sums and fuse products without changing a bit.

Endpoints are float32 [8]: R, G, B, A of endpoint 0, then of endpoint 1, 0..255. Their lowest bit is
the p-bit, the same in the four channels of an endpoint.
"""

import numpy as np

from smalti.jit import njit

CHANNELS = 0  # 4 rows: R, G, B, A; colour under alpha 0 is the mean of the visible colours
VISIBLE = 64  # 1 where alpha > 0, else 0: weight of the colour error
NORM = 80  # sum of squares of the texel, its colour weighted by VISIBLE
KEY = 96  # 16 * (error - NORM) + index, of the nearest entry so far
INDEX = 112  # index chosen last
WEIGHT = 128  # its interpolation weight / 64
STEP = 144  # interpolation weight / 64 of each index
PALETTE = 160  # 4 rows: -32 * entry
PALETTE_COLOUR = 224  # 16 * sum of squares of the entry's colour
PALETTE_ALPHA = 240  # 16 * square of the entry's alpha, + its index
WORK = 256  # float32 numbers

_F = np.float32


@njit(nogil=True)
def fill_steps(work):
    """Fill STEP, which is the same for all blocks: 64 * index / 15, rounded; none is near a half."""
    for k in range(16):
        work[STEP + k] = np.floor(k * (64.0 / 15.0) + 0.5) / 64.0


@njit(nogil=True, fastmath=True)
def choose(work, ends):
    """Choose the nearest of the 16 palette entries for each texel; return the squared error.

    Writes INDEX. Every entry is compared with every texel, by
    |x - p|^2 = |x|^2 + (|p|^2 - 2 x p): 6 vector operations an entry for 8 texels, so 192 for the
    choice; 60 for the palette; 100 scalar ones to split the keys.
    """
    half = _F(0.5)
    start_r, span_r = ends[0] + half, ends[4] - ends[0]
    start_g, span_g = ends[1] + half, ends[5] - ends[1]
    start_b, span_b = ends[2] + half, ends[6] - ends[2]
    start_a, span_a = ends[3] + half, ends[7] - ends[3]
    for k in range(16):
        step = work[STEP + k]
        r = np.floor(start_r + step * span_r)
        g = np.floor(start_g + step * span_g)
        b = np.floor(start_b + step * span_b)
        a = np.floor(start_a + step * span_a)
        work[PALETTE + k] = _F(-32) * r
        work[PALETTE + 16 + k] = _F(-32) * g
        work[PALETTE + 32 + k] = _F(-32) * b
        work[PALETTE + 48 + k] = _F(-32) * a
        work[PALETTE_COLOUR + k] = _F(16) * (r * r + g * g + b * b)
        work[PALETTE_ALPHA + k] = _F(16) * a * a + _F(k)

    for t in range(16):
        work[KEY + t] = _F(1 << 24)
    for k in range(16):
        r = work[PALETTE + k]
        g = work[PALETTE + 16 + k]
        b = work[PALETTE + 32 + k]
        a = work[PALETTE + 48 + k]
        colour = work[PALETTE_COLOUR + k]
        alpha = work[PALETTE_ALPHA + k]
        for t in range(16):
            products = r * work[t] + g * work[16 + t] + b * work[32 + t] + colour
            key = work[VISIBLE + t] * products + a * work[48 + t] + alpha
            work[KEY + t] = min(work[KEY + t], key)

    sum_0 = sum_1 = sum_2 = sum_3 = _F(0)  # four short chains of additions: half the time of one
    for t in range(0, 16, 4):
        sum_0 += work[NORM + t] + _take_index(work, t)
        sum_1 += work[NORM + t + 1] + _take_index(work, t + 1)
        sum_2 += work[NORM + t + 2] + _take_index(work, t + 2)
        sum_3 += work[NORM + t + 3] + _take_index(work, t + 3)
    return (sum_0 + sum_1) + (sum_2 + sum_3)


@njit(nogil=True, fastmath=True)
def _take_index(work, t):
    """Split a key into index, which is stored, and error, which is returned."""
    error = np.floor(work[KEY + t] * _F(1 / 16))
    work[INDEX + t] = work[KEY + t] - _F(16) * error
    return error


@njit(nogil=True, fastmath=True)
def load_norms(work):
    """Fill NORM, the part of the error that no palette changes."""
    for t in range(16):
        r, g, b, a = work[t], work[16 + t], work[32 + t], work[48 + t]
        work[NORM + t] = work[VISIBLE + t] * (r * r + g * g + b * b) + a * a
