"""Loops over the 16 texels of a mode 6 block, exact in float32.

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


@njit(nogil=True, fastmath=True)
def moments(work):
    """Return the sums of R, G, B, A, then of RR, RG, RB, RA, GG, GB, GA, BB, BA, AA."""
    sr = sg = sb = sa = _F(0)
    rr = rg = rb = ra = gg = gb = ga = bb = ba = aa = _F(0)
    for t in range(16):
        r, g, b, a = work[t], work[16 + t], work[32 + t], work[48 + t]
        sr += r
        sg += g
        sb += b
        sa += a
        rr += r * r
        rg += r * g
        rb += r * b
        ra += r * a
        gg += g * g
        gb += g * b
        ga += g * a
        bb += b * b
        ba += b * a
        aa += a * a
    return sr, sg, sb, sa, rr, rg, rb, ra, gg, gb, ga, bb, ba, aa


@njit(nogil=True, fastmath=True)
def extent(work, axis_r, axis_g, axis_b, axis_a):
    """Return the least and the greatest product of a texel with an axis of small integers."""
    least, greatest = _F(1 << 24), _F(-(1 << 24))
    for t in range(16):
        product = axis_r * work[t] + axis_g * work[16 + t]
        product += axis_b * work[32 + t] + axis_a * work[48 + t]
        least = min(least, product)
        greatest = max(greatest, product)
    return least, greatest


@njit(nogil=True, fastmath=True)
def colour_sums(work):
    """Return the normal equations of the colour's fit, u and w weights of endpoints 0 and 1.

    Writes WEIGHT. Sums over visible texels: uu, uw, ww, uR, wR, uG, wG, uB, wB. In all 27 vector operations for 8
    texels.
    """
    uu = uw = ww = ur = wr = ug = wg = ub = wb = _F(0)
    for t in range(16):
        w = np.floor(work[INDEX + t] * _F(64 / 15) + _F(0.5)) * _F(1 / 64)
        work[WEIGHT + t] = w
        u = _F(1) - w
        visible_w = work[VISIBLE + t] * w
        visible_u = work[VISIBLE + t] * u
        r, g, b = work[t], work[16 + t], work[32 + t]
        uu += visible_u * u
        uw += visible_u * w
        ww += visible_w * w
        ur += visible_u * r
        wr += visible_w * r
        ug += visible_u * g
        wg += visible_w * g
        ub += visible_u * b
        wb += visible_w * b
    return uu, uw, ww, ur, wr, ug, wg, ub, wb


@njit(nogil=True, fastmath=True)
def alpha_sums(work):
    """Return the normal equations of alpha's fit: uu, uw, ww, uA, wA over all texels."""
    uu = uw = ww = ua = wa = _F(0)
    for t in range(16):
        w = work[WEIGHT + t]
        u = _F(1) - w
        a = work[48 + t]
        uu += u * u
        uw += u * w
        ww += w * w
        ua += u * a
        wa += w * a
    return uu, uw, ww, ua, wa


@njit(nogil=True, fastmath=True)
def best_neighbour(work, row, colour, end_0, end_1):
    """Return which of end_0 + {-2, 0, 2}, end_1 + {-2, 0, 2} fits one channel best, indices kept.

    row: the channel's row. colour: 1 to weight by VISIBLE, 0 not to. The result is 3 * i + j for
    steps 2 * i - 2 and 2 * j - 2; the least error wins, then 4, then the next after 4 going round.
    About 100 vector operations for 16 texels and 40 scalar ones.
    """
    e0 = e1 = e2 = e3 = e4 = e5 = e6 = e7 = e8 = _F(0)
    start = end_0 + _F(0.5)
    span = end_1 - end_0
    for t in range(16):
        w = work[WEIGHT + t]
        x = work[row + t]
        weight = _F(1) - colour + colour * work[VISIBLE + t]
        high = _F(2) * w
        low = _F(2) - high
        centre = start + w * span
        down, up = centre - low, centre + low
        d0 = x - np.floor(down - high)
        d1 = x - np.floor(down)
        d2 = x - np.floor(down + high)
        d3 = x - np.floor(centre - high)
        d4 = x - np.floor(centre)
        d5 = x - np.floor(centre + high)
        d6 = x - np.floor(up - high)
        d7 = x - np.floor(up)
        d8 = x - np.floor(up + high)
        e0 += weight * d0 * d0
        e1 += weight * d1 * d1
        e2 += weight * d2 * d2
        e3 += weight * d3 * d3
        e4 += weight * d4 * d4
        e5 += weight * d5 * d5
        e6 += weight * d6 * d6
        e7 += weight * d7 * d7
        e8 += weight * d8 * d8
    # 16 * error + order: errors are at most 16 * 255 ** 2. What leaves 0..255 is out of the game.
    out = _F(1 << 24)
    less_0 = out if end_0 < 2 else _F(0)
    more_0 = out if end_0 > 253 else _F(0)
    less_1 = out if end_1 < 2 else _F(0)
    more_1 = out if end_1 > 253 else _F(0)
    scale = _F(16)
    key = min(e4 * scale, e5 * scale + _F(1) + more_1)
    key = min(key, min(e6 * scale + _F(2) + more_0 + less_1, e7 * scale + _F(3) + more_0))
    key = min(key, min(e8 * scale + _F(4) + more_0 + more_1, e0 * scale + _F(5) + less_0 + less_1))
    key = min(key, min(e1 * scale + _F(6) + less_0, e2 * scale + _F(7) + less_0 + more_1))
    key = min(key, e3 * scale + _F(8) + less_1)
    return (int(key) % 16 + 4) % 9
