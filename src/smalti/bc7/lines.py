"""Lines of colours through a block's subsets: indices, endpoints, error.

    AXES ──first_indices──▶ INDEX ──sum_weights, fit──▶ ENDS ──choose──▶ INDEX, error ─┐
                                        ▲                                              │
                                        └──────────────────────────────────────────────┘

Every function takes the whole `work` (see work.py). channels: 3 where alpha is 255 or has indices
of its own, 4 where it lies on the lines.
"""

import numpy as np

from smalti.bc7.work import (
    CODES,
    ENDS,
    FORM,
    INDEX,
    LANE_CODE,
    LANE_COST,
    LANE_FIRST,
    LANE_SECOND,
    M_AA,
    M_BB,
    M_GB,
    M_GG,
    M_RB,
    M_RG,
    M_RR,
    MASK,
    OPACITY,
    PROJECTION,
    SUBSET,
    SUMS,
    VISIBLE,
    WEIGHT,
    exact,
    inlined,
    strict,
)

_F = np.float32

NO_PBIT, SHARED_PBIT, OWN_PBITS, SET_PBITS = range(4)  # SET_PBITS: own ones, both 1
ANY = -1  # p-bits
FREE = -1.0  # alpha of an endpoint that is not prescribed

# [kind, lane]: p-bits of the two endpoints that a lane of `fit` tries. They come by
# eight, an eight for each channel; in its second half the first endpoint is rounded up, not down.
_P0 = [[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 0, 1], [1, 1, 1, 1]]
_P1 = [[0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]]
LANE_P0 = np.tile(np.array(_P0, dtype=np.float32), 8)
LANE_P1 = np.tile(np.array(_P1, dtype=np.float32), 8)
LANE_UP = np.tile(np.repeat(np.array([0, 1], dtype=np.float32), 4), 4)


@inlined
def pick(s, subsets, a, b, c):
    """The one of three values that belongs to subset s."""
    value = a
    if subsets >= 2:
        value = b if s == _F(1) else value
    if subsets >= 3:
        value = c if s == _F(2) else value
    return value


@exact
def sum_weights(work, subset, channels):
    """Fill a subset's SUMS: 1, w, ww, R, G, B, wR, wG, wB over its colours, 1, w, ww, A, wA."""
    n = w = ww = r = g = b = wr = wg = wb = _F(0)
    mask = MASK + 16 * subset
    for t in range(16):
        m = work[mask + t]
        v = m * work[WEIGHT + t]
        n += m
        w += v
        ww += v * work[WEIGHT + t]
        r += m * work[t]
        g += m * work[16 + t]
        b += m * work[32 + t]
        wr += v * work[t]
        wg += v * work[16 + t]
        wb += v * work[32 + t]
    at = SUMS + 16 * subset
    work[at], work[at + 1], work[at + 2] = n, w, ww
    work[at + 3], work[at + 4], work[at + 5] = r, g, b
    work[at + 6], work[at + 7], work[at + 8] = wr, wg, wb
    if channels == 4:
        n = w = ww = r = wr = _F(0)
        for t in range(16):
            m = _F(1) if work[SUBSET + t] == _F(subset) else _F(0)
            v = m * work[WEIGHT + t]
            n += m
            w += v
            ww += v * work[WEIGHT + t]
            r += m * work[48 + t]
            wr += v * work[48 + t]
        work[at + 9], work[at + 10], work[at + 11] = n, w, ww
        work[at + 12], work[at + 13] = r, wr


@inlined
def widen(code, bits):
    """The decoder's 8-bit value of a code of 5 to 8 bits: its top bits repeated below."""
    return code * _F(1 << (8 - bits)) + np.floor(code * (_F(1) / _F(1 << (2 * bits - 8))))


@strict
def fit(work, subset, bits, kind, channels, alpha_0, alpha_1, pbits):
    """Least-squares endpoints of a subset for its SUMS, then the best codes near them.

    Of the first endpoint's codes the two around the optimum are tried, with each the second's best;
    in eight lanes a channel, for all p-bits. Compared is the square error that the indices give,
    without the decoder's rounding. alpha_0, alpha_1: alpha that an endpoint must have, or FREE.
    pbits: a choice of p-bits, 0 to 3, or ANY.
    """
    at = SUMS + 16 * subset
    _solve(work, at, at + 3, 3, 0)
    _round(work, 0, 24, bits, kind)
    if channels == 4:
        _solve(work, at + 9, at + 12, 1, 24)
        _round(work, 24, 32, bits, kind)
        if alpha_0 != FREE or alpha_1 != FREE:
            _hold(work, bits, kind, alpha_0, alpha_1)
    _take_best(work, subset, bits, channels, pbits)


@strict
def _solve(work, weights, products, count, lane):
    """Solve the normal equations of `count` channels; fill FORM, and their lanes with the ends."""
    n, w, ww = float(work[weights]), float(work[weights + 1]), float(work[weights + 2])
    uu, uw = n - 2.0 * w + ww, w - ww
    determinant = uu * ww - uw * uw
    flat = determinant < 1e-6  # all texels at one step: both endpoints to their mean
    inverse = 1.0 / (max(n, 1.0) if flat else determinant)
    uu, uw, ww = (1.0, 0.0, 1.0) if flat else (uu, uw, ww)
    work[FORM], work[FORM + 1], work[FORM + 2] = _F(uu), _F(2.0 * uw), _F(ww)
    work[FORM + 3] = _F(uw / ww)
    for i in range(count):
        x, wx = float(work[products + i]), float(work[products + count + i])
        ux = x if flat else x - wx
        wx = x if flat else wx
        first, second = _F((ux * ww - wx * uw) * inverse), _F((wx * uu - ux * uw) * inverse)
        for k in range(8):
            work[LANE_FIRST + lane + 8 * i + k] = first
            work[LANE_SECOND + lane + 8 * i + k] = second


@inlined
def _round(work, start, stop, bits, kind):
    """Fill lanes with codes near their ends, and the square error that they add to the optimum's."""
    a, b, c, slope = work[FORM], work[FORM + 1], work[FORM + 2], work[FORM + 3]
    stride = _F(1) if kind == NO_PBIT else _F(2)
    unit = _F(1) / stride
    top = _F((1 << bits) - 1)
    last = top + _F(1) - stride
    scale = top * _F(1 / 255)
    wide, repeat = _F(1 << (8 - bits)), _F(1) / _F(1 << (2 * bits - 8))
    for lane in range(start, stop):
        p0, p1 = LANE_P0[kind, lane], LANE_P1[kind, lane]
        e0, e1 = work[LANE_FIRST + lane], work[LANE_SECOND + lane]
        q0 = (np.floor((e0 * scale - p0) * unit) + LANE_UP[lane]) * stride
        q0 = min(max(q0, _F(0)), last) + p0
        d0 = q0 * wide + np.floor(q0 * repeat) - e0
        q1 = np.floor(((e1 - slope * d0) * scale - p1) * unit + _F(0.5)) * stride
        q1 = min(max(q1, _F(0)), last) + p1
        d1 = q1 * wide + np.floor(q1 * repeat) - e1
        work[LANE_COST + lane] = d0 * (a * d0 + b * d1) + c * d1 * d1
        work[LANE_CODE + lane] = q0
        work[LANE_CODE + 32 + lane] = q1


@strict
def _hold(work, bits, kind, alpha_0, alpha_1):
    """Make alpha's lanes end in prescribed values, which lanes of other p-bits cannot."""
    top = _F((1 << bits) - 1)
    for lane in range(24, 32):
        q0, q1 = work[LANE_CODE + lane], work[LANE_CODE + 32 + lane]
        fits = True
        if alpha_0 != FREE:
            q0 = _F(0) if alpha_0 == _F(0) else top
            fits = kind == NO_PBIT or q0 % _F(2) == LANE_P0[kind, lane]
        if alpha_1 != FREE:
            q1 = _F(0) if alpha_1 == _F(0) else top
            fits = fits and (kind == NO_PBIT or q1 % _F(2) == LANE_P1[kind, lane])
        d0 = widen(q0, bits) - work[LANE_FIRST + lane]
        d1 = widen(q1, bits) - work[LANE_SECOND + lane]
        cost = d0 * (work[FORM] * d0 + work[FORM + 1] * d1) + work[FORM + 2] * d1 * d1
        work[LANE_COST + lane] = cost if fits else _F(1e20)
        work[LANE_CODE + lane] = q0
        work[LANE_CODE + 32 + lane] = q1


@strict
def _take_best(work, subset, bits, channels, pbits):
    """Write ENDS and CODES of the lanes of least cost, all of one choice of p-bits."""
    least, best = _F(1e30), 0
    for i in range(0 if pbits == ANY else pbits, 4 if pbits == ANY else pbits + 1):
        cost = min(work[LANE_COST + i], work[LANE_COST + i + 4])
        cost += min(work[LANE_COST + 8 + i], work[LANE_COST + 12 + i])
        cost += min(work[LANE_COST + 16 + i], work[LANE_COST + 20 + i])
        if channels == 4:
            cost += min(work[LANE_COST + 24 + i], work[LANE_COST + 28 + i])
        best = i if cost < least or i == pbits else best
        least = min(cost, least)
    for channel in range(channels):
        lane = 8 * channel + best
        lane = lane + 4 if work[LANE_COST + lane + 4] < work[LANE_COST + lane] else lane
        q0, q1 = work[LANE_CODE + lane], work[LANE_CODE + 32 + lane]
        at = 8 * subset + channel
        work[CODES + at], work[CODES + at + 4] = q0, q1
        work[ENDS + at], work[ENDS + at + 4] = widen(q0, bits), widen(q1, bits)


@inlined
def _ray(work, at, top, channels, metric):
    """Where on a line a texel is, in steps: R x + G y + B z + A w + o; return x, y, z, w, o.

    And v, steps for each step of alpha, which alone places texels whose alpha is held.
    """
    r, g, b = work[at + 4] - work[at], work[at + 5] - work[at + 1], work[at + 6] - work[at + 2]
    a = work[at + 7] - work[at + 3] if channels == 4 else _F(0)
    x = metric[M_RR] * r + metric[M_RG] * g + metric[M_RB] * b
    y = metric[M_RG] * r + metric[M_GG] * g + metric[M_GB] * b
    z = metric[M_RB] * r + metric[M_GB] * g + metric[M_BB] * b
    w = metric[M_AA] * a
    length = x * r + y * g + z * b + w * a
    scale = top / length if length > _F(0) else _F(0)
    x, y, z, w = x * scale, y * scale, z * scale, w * scale
    o = x * work[at] + y * work[at + 1] + z * work[at + 2]
    if channels == 4:
        o += w * work[at + 3]
    v = top / a if a != _F(0) else _F(0)
    return x, y, z, w, -o, v


@strict
def choose(work, subsets, top, channels, metric):
    """`_choose`, compiled apart for each number of subsets and channels: then it is all vectors."""
    if channels == 4:
        if subsets == 1:
            return _choose(work, 1, top, 4, metric)
        return _choose(work, 2, top, 4, metric)
    if subsets == 1:
        return _choose(work, 1, top, 3, metric)
    if subsets == 2:
        return _choose(work, 2, top, 3, metric)
    return _choose(work, 3, top, 3, metric)


@inlined
def _choose(work, subsets, top, channels, metric):
    """Fill INDEX and WEIGHT with each texel's nearest step; return the block's square error.

    Of the two steps between which the texel lies along its line, the nearer one as a decoder
    rounds them: some 70 vector operations for 16 texels. The error is exact.
    """
    half, one, small = _F(0.5), _F(1), _F(1 / 64)
    x0, y0, z0, w0, o0, v0 = _ray(work, ENDS, top, channels, metric)
    x1 = y1 = z1 = w1 = o1 = v1 = x2 = y2 = z2 = w2 = o2 = v2 = _F(0)
    if subsets >= 2:
        x1, y1, z1, w1, o1, v1 = _ray(work, ENDS + 8, top, channels, metric)
    if subsets >= 3:
        x2, y2, z2, w2, o2, v2 = _ray(work, ENDS + 16, top, channels, metric)
    r0, g0, b0, a0 = work[ENDS], work[ENDS + 1], work[ENDS + 2], work[ENDS + 3]
    r1, g1, b1, a1 = work[ENDS + 8], work[ENDS + 9], work[ENDS + 10], work[ENDS + 11]
    r2, g2, b2, a2 = work[ENDS + 16], work[ENDS + 17], work[ENDS + 18], work[ENDS + 19]
    sr0, sg0, sb0 = work[ENDS + 4] - r0, work[ENDS + 5] - g0, work[ENDS + 6] - b0
    sr1, sg1, sb1 = work[ENDS + 12] - r1, work[ENDS + 13] - g1, work[ENDS + 14] - b1
    sr2, sg2, sb2 = work[ENDS + 20] - r2, work[ENDS + 21] - g2, work[ENDS + 22] - b2
    sa0, sa1, sa2 = work[ENDS + 7] - a0, work[ENDS + 15] - a1, work[ENDS + 23] - a2
    rr, gg, bb, aa = metric[M_RR], metric[M_GG], metric[M_BB], metric[M_AA]
    rg, rb, gb = _F(2) * metric[M_RG], _F(2) * metric[M_RB], _F(2) * metric[M_GB]
    step, last = _F(64) / top, top - one
    for t in range(16):
        s = work[SUBSET + t]
        red, green, blue = work[t], work[16 + t], work[32 + t]
        place = pick(s, subsets, x0, x1, x2) * red + pick(s, subsets, y0, y1, y2) * green
        place = place + pick(s, subsets, z0, z1, z2) * blue + pick(s, subsets, o0, o1, o2)
        if channels == 4:
            alpha = work[48 + t]
            base_a, span_a = pick(s, subsets, a0, a1, a2), pick(s, subsets, sa0, sa1, sa2)
            place = place + pick(s, subsets, w0, w1, w2) * alpha
            alone = (alpha - base_a) * pick(s, subsets, v0, v1, v2)
            place = alone if work[OPACITY + t] > one and span_a != _F(0) else place
        index = min(max(np.floor(place), _F(0)), last)
        low = np.floor(index * step + half) * small
        high = np.floor((index + one) * step + half) * small
        base, span = pick(s, subsets, r0, r1, r2) + half, pick(s, subsets, sr0, sr1, sr2)
        r, u = red - np.floor(base + low * span), red - np.floor(base + high * span)
        base, span = pick(s, subsets, g0, g1, g2) + half, pick(s, subsets, sg0, sg1, sg2)
        g, v = green - np.floor(base + low * span), green - np.floor(base + high * span)
        base, span = pick(s, subsets, b0, b1, b2) + half, pick(s, subsets, sb0, sb1, sb2)
        b, w = blue - np.floor(base + low * span), blue - np.floor(base + high * span)
        visible = work[VISIBLE + t]
        below = visible * (r * (rr * r + rg * g + rb * b) + g * (gg * g + gb * b) + bb * b * b)
        above = visible * (u * (rr * u + rg * v + rb * w) + v * (gg * v + gb * w) + bb * w * w)
        if channels == 4:
            a = alpha - np.floor(base_a + low * span_a + half)
            d = alpha - np.floor(base_a + high * span_a + half)
            below = below + work[OPACITY + t] * (aa * a * a)
            above = above + work[OPACITY + t] * (aa * d * d)
        nearer = above < below
        work[PROJECTION + t] = above if nearer else below
        work[INDEX + t] = index + one if nearer else index
        work[WEIGHT + t] = high if nearer else low
    return _sum_row(work, PROJECTION)


@exact
def _sum_row(work, row):
    total = _F(0)
    for t in range(16):
        total += work[row + t]
    return total
