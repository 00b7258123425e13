"""The search for a mode 6 block: one line in RGBA, 16 steps along it.

    texels ──principal axis──▶ endpoints ──choose──▶ indices ──fit──▶ endpoints ──choose──▶ ...

`choose` and the other loops over texels are exact (see mode6_loops). What rounds, the axis and the
2 x 2 systems, is scalar float64 without `fastmath`. So the same picture gives the same blocks on
every machine, and `reference.encode_block`, the readable twin, gives the same bits.
"""

import numpy as np

from smalti.bc7.mode6_loops import (
    alpha_sums,
    best_neighbour,
    choose,
    colour_sums,
    extent,
    moments,
)
from smalti.jit import njit

FREE = -1  # for an endpoint's alpha or p-bit: not prescribed

POWER_ITERATIONS = 8  # enough to find the longer of two axes that differ by a tenth
AXIS_SCALE = 127.0  # of the rounded axis' longest component; keeps products under 2 ** 24


@njit(nogil=True)
def search(work, fixed_0, fixed_1, refinements, passes, thorough_passes, best, ends, scratch):
    """Find endpoints for the texels in `work`; return the squared error.

    fixed_0, fixed_1: alpha that endpoint 0 and 1 must have, or FREE. refinements: least-squares
    fits, at most. passes: coordinate descents, at most. thorough_passes: further descents, at most,
    that also move two values at once; first from the best so far, then anew for each pair of p-bits.
    More of any of the three never raises the error, if those before it are the same. best: receives
    the endpoints, float32 [8]. ends, scratch: two more of that shape to work in.
    """
    principal_ends(work, fixed_0, fixed_1, best)
    error = improve(work, fixed_0, fixed_1, FREE, FREE, refinements, best, scratch)
    error = descend(work, fixed_0, fixed_1, passes, False, error, best, scratch)
    if thorough_passes == 0:
        return error
    error = descend(work, fixed_0, fixed_1, thorough_passes, True, error, best, scratch)
    for pair in range(4):
        parity_0, parity_1 = pair & 1, pair >> 1
        if fixed_0 != FREE and parity_0 != fixed_0 & 1:
            continue
        if fixed_1 != FREE and parity_1 != fixed_1 & 1:
            continue
        choose(work, best)
        fit(work, fixed_0, fixed_1, parity_0, parity_1, best, ends)
        other = improve(work, fixed_0, fixed_1, parity_0, parity_1, refinements, ends, scratch)
        other = descend(work, fixed_0, fixed_1, thorough_passes, True, other, ends, scratch)
        if other < error:
            error = other
            copy_ends(ends, best)
    return error


@njit(nogil=True)
def principal_ends(work, fixed_0, fixed_1, ends):
    """First endpoints: the extremes of the texels' projections on their principal axis."""
    sr, sg, sb, sa, rr, rg, rb, ra, gg, gb, ga, bb, ba, aa = moments(work)
    mr, mg, mb, ma = sr / 16.0, sg / 16.0, sb / 16.0, sa / 16.0
    # Covariances; the differences are exact in float64.
    rr, rg, rb, ra = rr - sr * mr, rg - sr * mg, rb - sr * mb, ra - sr * ma
    gg, gb, ga = gg - sg * mg, gb - sg * mb, ga - sg * ma
    bb, ba, aa = bb - sb * mb, ba - sb * ma, aa - sa * ma
    if rr + gg + bb + aa == 0.0:
        solid_ends(work, fixed_0, fixed_1, ends)
        return

    # Power iteration from the column of the channel that varies most. Entries stay below
    # (4 * 16 * 255 ** 2) ** 9 < 1e60, which float64 holds: nothing is normalised on the way.
    r, g, b, a = rr, rg, rb, ra
    largest = rr
    if gg > largest:
        r, g, b, a, largest = rg, gg, gb, ga, gg
    if bb > largest:
        r, g, b, a, largest = rb, gb, bb, ba, bb
    if aa > largest:
        r, g, b, a = ra, ga, ba, aa
    for _ in range(POWER_ITERATIONS):
        r, g, b, a = (
            rr * r + rg * g + rb * b + ra * a,
            rg * r + gg * g + gb * b + ga * a,
            rb * r + gb * g + bb * b + ba * a,
            ra * r + ga * g + ba * b + aa * a,
        )
    # An axis of small integers makes the projections exact. Endpoint 0 is the one with less alpha.
    scale = AXIS_SCALE / max(abs(r), abs(g), abs(b), abs(a))
    if a < 0.0:
        scale = -scale
    r = np.floor(r * scale + 0.5)
    g = np.floor(g * scale + 0.5)
    b = np.floor(b * scale + 0.5)
    a = np.floor(a * scale + 0.5)
    low, high = extent(work, np.float32(r), np.float32(g), np.float32(b), np.float32(a))
    centre = r * mr + g * mg + b * mb + a * ma
    length = r * r + g * g + b * b + a * a
    low_step = (low - centre) / length
    high_step = (high - centre) / length
    quantise(
        ends, 0, mr + low_step * r, mg + low_step * g, mb + low_step * b, ma + low_step * a,
        fixed_0, FREE,
    )  # fmt: skip
    quantise(
        ends, 4, mr + high_step * r, mg + high_step * g, mb + high_step * b, ma + high_step * a,
        fixed_1, FREE,
    )  # fmt: skip


@njit(nogil=True)
def solid_ends(work, fixed_0, fixed_1, ends):
    """Endpoints around one colour: just below and above it, so that the middle entries are exact.

    With both p-bits set a middle entry gives every value but 0, with both clear every value but
    255; where the colour has both values one of them is missed by 1.
    """
    parity = 1
    if fixed_0 == FREE and fixed_1 == FREE:
        zeros = full = 0
        for c in range(4):
            zeros += work[16 * c] == 0
            full += work[16 * c] == 255
        parity = 1 if full >= zeros else 0
    for c in range(4):
        value = int(work[16 * c])
        below = value - ((value ^ parity) & 1)
        above = value + ((value ^ parity) & 1)
        ends[c] = below if below >= 0 else above
        ends[4 + c] = above if above <= 255 else below


@njit(nogil=True)
def improve(work, fixed_0, fixed_1, parity_0, parity_1, refinements, ends, trial):
    """Alternate `choose` and `fit` while the error falls; return it, with `ends` improved."""
    error = choose(work, ends)
    for _ in range(refinements):
        fit(work, fixed_0, fixed_1, parity_0, parity_1, ends, trial)
        other = choose(work, trial)
        if other >= error:
            break
        error = other
        copy_ends(trial, ends)
    return error


@njit(nogil=True)
def descend(work, fixed_0, fixed_1, passes, pairs, error, ends, trial):
    """Move endpoint values by one step of 7 bits while that lowers the error; return it.

    pairs: also moves a channel's two values together, in the same and in opposite directions.
    """
    moves = 4 if pairs else 2
    for _ in range(passes):
        before = error
        for channel in range(4):
            for move in range(moves):
                if channel == 3 and (
                    (fixed_0 != FREE and move != 1) or (fixed_1 != FREE and move != 0)
                ):
                    continue
                for sign in range(-2, 3, 4):
                    step_0 = np.float32(0 if move == 1 else sign)
                    step_1 = np.float32(0 if move == 0 else (-sign if move == 3 else sign))
                    while True:
                        copy_ends(ends, trial)
                        trial[channel] += step_0
                        trial[4 + channel] += step_1
                        low = min(trial[channel], trial[4 + channel])
                        high = max(trial[channel], trial[4 + channel])
                        if low < 0 or high > 255:
                            break
                        other = choose(work, trial)
                        if other >= error:
                            break
                        error = other
                        copy_ends(trial, ends)
        if error == before:
            break
    return error


@njit(nogil=True)
def fit(work, fixed_0, fixed_1, parity_0, parity_1, ends, fitted):
    """Least-squares endpoints for the indices chosen last, then the best neighbours of 7 bits.

    ends: what stays where the indices say nothing. fitted: receives the endpoints.
    """
    uu, uw, ww, ur, wr, ug, wg, ub, wb = colour_sums(work)
    inverse = inverse_determinant(uu, uw, ww)
    r0, r1 = solve(uu, uw, ww, inverse, ur, wr, ends[0], ends[4])
    g0, g1 = solve(uu, uw, ww, inverse, ug, wg, ends[1], ends[5])
    b0, b1 = solve(uu, uw, ww, inverse, ub, wb, ends[2], ends[6])
    a0, a1 = float(fixed_0), float(fixed_1)
    if fixed_0 == FREE or fixed_1 == FREE:
        uu, uw, ww, ua, wa = alpha_sums(work)
        if fixed_0 != FREE:
            a1 = (wa - uw * a0) / ww if ww > 0.0 else float(ends[7])
        elif fixed_1 != FREE:
            a0 = (ua - uw * a1) / uu if uu > 0.0 else float(ends[3])
        else:
            inverse = inverse_determinant(uu, uw, ww)
            a0, a1 = solve(uu, uw, ww, inverse, ua, wa, ends[3], ends[7])
    quantise(fitted, 0, r0, g0, b0, a0, fixed_0, parity_0)
    quantise(fitted, 4, r1, g1, b1, a1, fixed_1, parity_1)
    for channel in range(3 if fixed_0 != FREE or fixed_1 != FREE else 4):
        settle(work, channel, fitted)


@njit(nogil=True)
def inverse_determinant(uu, uw, ww):
    """Return 1 / (uu ww - uw uw), or 0 where that is singular: all texels have one weight."""
    determinant = float(uu) * float(ww) - float(uw) * float(uw)
    return 1.0 / determinant if determinant > 0.0 else 0.0


@njit(nogil=True)
def solve(uu, uw, ww, inverse, ux, wx, end_0, end_1):
    """Solve [uu uw; uw ww] [e0 e1] = [ux wx]; where it is singular, return end_0, end_1."""
    if inverse == 0.0:
        return float(end_0), float(end_1)
    first = (float(ux) * float(ww) - float(wx) * float(uw)) * inverse
    second = (float(wx) * float(uu) - float(ux) * float(uw)) * inverse
    return first, second


@njit(nogil=True)
def quantise(ends, offset, r, g, b, a, fixed, parity):
    """Write an endpoint of 7 bits and a p-bit a channel, nearest in squares.

    fixed: the alpha to write, or FREE. parity: the p-bit, or FREE to choose it.
    """
    if fixed != FREE:
        parity = fixed & 1
        a = float(fixed)
    if parity == FREE:
        parity = 1 if miss(r, g, b, a, 1) <= miss(r, g, b, a, 0) else 0
    ends[offset] = nearest(r, parity)
    ends[offset + 1] = nearest(g, parity)
    ends[offset + 2] = nearest(b, parity)
    ends[offset + 3] = nearest(a, parity)


@njit(nogil=True)
def miss(r, g, b, a, parity):
    r -= nearest(r, parity)
    g -= nearest(g, parity)
    b -= nearest(b, parity)
    a -= nearest(a, parity)
    return r * r + g * g + b * b + a * a


@njit(nogil=True)
def nearest(value, parity):
    """The nearest number of 0..255 with the given lowest bit."""
    steps = np.floor((value - parity) * 0.5 + 0.5)
    return 2.0 * min(max(steps, 0.0), 127.0) + parity


@njit(nogil=True)
def settle(work, channel, ends):
    """Take the best of a channel's endpoint pair and its eight neighbours, the indices kept."""
    neighbour = best_neighbour(
        work, 16 * channel, np.float32(channel < 3), ends[channel], ends[4 + channel]
    )
    ends[channel] += np.float32(2 * (neighbour // 3) - 2)
    ends[4 + channel] += np.float32(2 * (neighbour % 3) - 2)


@njit(nogil=True)
def copy_ends(source, target):
    for i in range(8):
        target[i] = source[i]
