"""Where a trial begins: an index for each texel, from its place along its subset's axis."""

import numpy as np

from smalti.bc7.lines import pick
from smalti.bc7.work import (
    AXES,
    INDEX,
    LANE_N,
    LANE_P,
    LANE_SCALE,
    LANE_SHIFT,
    LANE_W,
    LANE_WP,
    LANE_WW,
    PROJECTION,
    QUANTISERS,
    SPACE,
    SUBSET,
    WEIGHT,
    inlined,
    strict,
)

_F = np.float32

# What the quantisers of `first_indices` leave out at the two ends, in steps of an index.
MARGINS = np.array(
    [[0, 0], [0.35, 0.35], [0, 0.5], [0.5, 0], [0.7, 0.7], [0.2, 0.9], [0.9, 0.2], [-0.2, -0.2]],
    dtype=np.float32,
).T.copy()
LANE_SUBSET = np.repeat(np.arange(3, dtype=np.float32), QUANTISERS)


@inlined
def project(work, subsets, channels):
    """Fill PROJECTION: each texel in SPACE along the axis of its subset."""
    x0, y0, z0, w0 = work[AXES], work[AXES + 1], work[AXES + 2], work[AXES + 3]
    x1, y1, z1, w1 = work[AXES + 4], work[AXES + 5], work[AXES + 6], work[AXES + 7]
    x2, y2, z2, w2 = work[AXES + 8], work[AXES + 9], work[AXES + 10], work[AXES + 11]
    for t in range(16):
        s = work[SUBSET + t]
        x = pick(s, subsets, x0, x1, x2)
        y = pick(s, subsets, y0, y1, y2)
        z = pick(s, subsets, z0, z1, z2)
        place = x * work[SPACE + t] + y * work[SPACE + 16 + t] + z * work[SPACE + 32 + t]
        if channels == 4:
            place += pick(s, subsets, w0, w1, w2) * work[SPACE + 48 + t]
        work[PROJECTION + t] = place


@strict
def _extent(work, subset):
    least, greatest = _F(1e30), _F(-1e30)
    for t in range(16):
        inside = work[SUBSET + t] == subset
        place = work[PROJECTION + t]
        least = min(least, place if inside else _F(1e30))
        greatest = max(greatest, place if inside else _F(-1e30))
    return least, greatest


@strict
def first_indices(work, subsets, top, channels, place):
    """`_first_indices`, compiled apart for each number of subsets."""
    if subsets == 1:
        _first_indices(work, 1, top, channels, place)
    elif subsets == 2:
        _first_indices(work, 2, top, channels, place)
    else:
        _first_indices(work, 3, top, channels, place)


@inlined
def _first_indices(work, subsets, top, channels, place):
    """Fill INDEX and WEIGHT along each subset's axis, by the best of some uniform quantisers.

    place: 0 for the best, 1 for the next that gives other indices, and so on. A quantiser spans
    the projections but for its MARGINS. The best is the one whose indices explain most of the
    projections' variance, endpoints fitted: in all some 15 vector operations for each texel.
    """
    project(work, subsets, channels)
    for s in range(subsets):
        low, high = _extent(work, _F(s))
        density = top / (high - low) if high > low else _F(0)
        lanes = QUANTISERS * s
        for lane in range(QUANTISERS):
            a, b = MARGINS[0, lane], MARGINS[1, lane]
            scale = top / (top - a - b)
            work[LANE_SCALE + lanes + lane] = density * scale
            work[LANE_SHIFT + lanes + lane] = _F(0.5) - (a + low * density) * scale
    for lane in range(QUANTISERS * subsets):
        work[LANE_N + lane] = _F(0)
        work[LANE_P + lane] = _F(0)
        work[LANE_W + lane] = _F(0)
        work[LANE_WW + lane] = _F(0)
        work[LANE_WP + lane] = _F(0)
    for t in range(0, 16, 2):
        p, q = work[PROJECTION + t], work[PROJECTION + t + 1]
        subset_p, subset_q = work[SUBSET + t], work[SUBSET + t + 1]
        for lane in range(QUANTISERS * subsets):
            scale, shift = work[LANE_SCALE + lane], work[LANE_SHIFT + lane]
            inside_p = _F(1) if LANE_SUBSET[lane] == subset_p else _F(0)
            inside_q = _F(1) if LANE_SUBSET[lane] == subset_q else _F(0)
            i = inside_p * min(max(np.floor(p * scale + shift), _F(0)), top)
            j = inside_q * min(max(np.floor(q * scale + shift), _F(0)), top)
            work[LANE_N + lane] += inside_p + inside_q
            work[LANE_P + lane] += inside_p * p + inside_q * q
            work[LANE_W + lane] += i + j
            work[LANE_WW + lane] += i * i + j * j
            work[LANE_WP + lane] += i * p + j * q
    for lane in range(QUANTISERS * subsets):
        n, w = work[LANE_N + lane], work[LANE_W + lane]
        covariance = n * work[LANE_WP + lane] - w * work[LANE_P + lane]
        variance = n * work[LANE_WW + lane] - w * w
        work[LANE_WP + lane] = covariance * covariance / max(variance, _F(1e-6))
    scale_0, shift_0 = _best_quantiser(work, 0, place)
    scale_1 = shift_1 = scale_2 = shift_2 = _F(0)
    if subsets >= 2:
        scale_1, shift_1 = _best_quantiser(work, QUANTISERS, place)
    if subsets >= 3:
        scale_2, shift_2 = _best_quantiser(work, 2 * QUANTISERS, place)
    step = _F(64) / top
    for t in range(16):
        s = work[SUBSET + t]
        scale = pick(s, 3, scale_0, scale_1, scale_2)  # 3: a shorter loop is unrolled, not vectors
        shift = pick(s, 3, shift_0, shift_1, shift_2)
        index = np.floor(work[PROJECTION + t] * scale + shift)
        index = min(max(index, _F(0)), top)
        work[INDEX + t] = index
        work[WEIGHT + t] = np.floor(index * step + _F(0.5)) * _F(1 / 64)


@strict
def _best_quantiser(work, first, place):
    """Scale and shift of the lane of greatest score from lane `first` on, or of a lower place."""
    best = _greatest(work, first)
    for _ in range(place):
        passed = work[LANE_WP + best]
        for lane in range(first, first + QUANTISERS):
            if work[LANE_WP + lane] == passed:
                work[LANE_WP + lane] = _F(-1)
        best = _greatest(work, first)
    return work[LANE_SCALE + best], work[LANE_SHIFT + best]


@strict
def _greatest(work, first):
    best = first
    for lane in range(first + 1, first + QUANTISERS):
        best = lane if work[LANE_WP + lane] > work[LANE_WP + best] else best
    return best
